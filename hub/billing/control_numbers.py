"""Patient control numbers (CLM01): opaque, short, and with a check character, so that damage on the way is seen.

A number is ``H``, ten characters drawn from a keyed digest of the claim's id, and a check character by
ISO/IEC 7064, MOD 37,36. That sees every wrong character and all swapped neighbours but one pair in 630; a drawing with
such a pair is drawn again. It tells nothing of the patient, has no leading zero to lose, and fits the 17
characters that every payer keeps. Two claims that draw the same ten characters are refused by the store's
unique constraint, and the claim is made anew with another id.
"""

from __future__ import annotations

from hub.core.vault import Vault

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DRAWN = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # without the letters that are read as others
_LENGTH = 12


def control_number(vault: Vault, claim_id: int) -> str:
    """The control number of the claim with this id; the same id always gives the same number."""
    number = _draw(vault, basis := str(claim_id))
    while not _shows_every_swap(number):
        number = _draw(vault, basis := f"{basis} again")
    return number


def _draw(vault: Vault, basis: str) -> str:
    bits = int.from_bytes(vault.digest("control number", basis), "big")
    drawn = "H" + "".join(_DRAWN[bits >> (5 * place) & 31] for place in range(10))
    return drawn + check_character(drawn)


def _shows_every_swap(number: str) -> bool:
    """Whether no two neighbours of *number* can change places and leave a number that is intact."""
    for place in range(1, len(number) - 1):  # the H before them is seen at once
        one, other = number[place], number[place + 1]
        if one != other and is_intact(number[:place] + other + one + number[place + 2 :]):
            return False
    return True


def line_control_number(claim: str, ordinal: int) -> str:
    """The line item control number (REF*6R) of the claim's line *ordinal*, 1-based."""
    return f"{claim}L{ordinal:02d}"


def check_character(text: str) -> str:
    """The character that ISO/IEC 7064 MOD 37,36 adds to *text* (digits and capital letters)."""
    rest = 36
    for character in text:
        rest = (rest + _ALPHABET.index(character)) % 36 or 36
        rest = rest * 2 % 37
    return _ALPHABET[(37 - rest) % 36]


def is_intact(text: str) -> bool:
    """Whether *text* is a whole control number: one wrong or two swapped characters of ours are always seen."""
    return (
        len(text) == _LENGTH
        and text[0] == "H"
        and all(character in _ALPHABET for character in text)
        and check_character(text[:-1]) == text[-1]
    )
