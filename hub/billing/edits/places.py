"""Where on the 837 what several edits look at stands, or would stand (005010X222A1, 005010X223A2)."""

from __future__ import annotations

from hub.formats.x12.claim import Claim, ClaimLine

MOST_MODIFIERS = 4
MOST_IN_HI = 12


def patient_loop(claim: Claim) -> str:
    """The loop of the patient's name: the subscriber's own, or the patient's."""
    return "2010CA" if claim.patient is not None else "2010BA"


def diagnosis_place(claim: Claim, number: int, component: int = 2) -> str:
    """Where the diagnosis *number* (from 0) stands: an 837P has all in one HI, an 837I all but the first in others."""
    if not number:
        return f"2300 HI01-{component} (ABK)"
    position = (number - 1) % MOST_IN_HI + 1 if claim.institutional else number + 1
    return f"2300 HI{position:02d}-{component} (ABF)"


def ub_place(qualifier: str, number: int, component: int = 2) -> str:
    """Where the code *number* (from 0) of the HI of *qualifier* stands."""
    return f"2300 HI{number % MOST_IN_HI + 1:02d}-{component} ({qualifier})"


def code_place(claim: Claim, line: ClaimLine) -> str:
    """Where the line's procedure stands, or the revenue code of a line without one."""
    if claim.institutional is None:
        return "2400 SV101-2"
    return "2400 SV202-2" if line.code else "2400 SV201"


def modifier_place(claim: Claim, number: int) -> str:
    """Where a line's modifier *number* (from 0) stands, the last one for those that have no place."""
    return f"2400 {'SV202' if claim.institutional else 'SV101'}-{min(number, MOST_MODIFIERS - 1) + 3}"
