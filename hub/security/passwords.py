"""Passwords: argon2id, verified in the process that received them, so that they never travel further."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MINIMUM_LENGTH = 12
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that are mistaken for one another on paper
_hasher = PasswordHasher()


@cache
def _nobody() -> str:
    """Verified when a name is unknown, so that the time an answer takes does not tell who exists.

    Made when first needed: the engine, which verifies no password, shall not take a fifth of a second for it.
    """
    return _hasher.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """The argon2id hash of *password* with its parameters and salt, as the store keeps it."""
    return _hasher.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether *password* is the one of *password_hash*.

    With None (an unknown user) False after the same work.
    """
    try:
        return _hasher.verify(password_hash or _nobody(), password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def objection(password: str, user_name: str) -> str | None:
    """Why *password* cannot be *user_name*'s, as a sentence, or None.

    Length counts, not kinds of characters (NIST SP 800-63B).
    """
    if len(password) < MINIMUM_LENGTH:
        return f"Choose at least {MINIMUM_LENGTH} characters."
    if user_name.casefold() in password.casefold():
        return "Choose one that does not contain the user name."
    if len(set(password)) < 5:
        return "Choose one with more different characters."
    return None


def random_password() -> str:
    """A password to be printed once: four groups of four characters, 79 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
