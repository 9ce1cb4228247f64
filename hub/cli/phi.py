"""Patient data in a terminal: masked, unless somebody says why it must be seen."""

from __future__ import annotations

import argparse

from hub.cli.common import UsageError


def phi_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--show-phi`` and ``--reason``."""
    parser.add_argument("--show-phi", action="store_true", help="do not mask patient data; needs --reason, is logged")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why patient data must be seen")


def phi_reason(arguments: argparse.Namespace) -> str:
    """The reason that was given. Raises :class:`UsageError` when patient data is asked for without one."""
    from hub.security.sessions import REASON_LENGTH

    reason: str = arguments.reason.strip()
    if arguments.show_phi and len(reason) < REASON_LENGTH:
        raise UsageError(
            "Patient data is shown for a reason.", expected=f"--reason with {REASON_LENGTH} letters or more"
        )
    return reason
