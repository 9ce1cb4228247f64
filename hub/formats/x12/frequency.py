"""What a claim is to others about the same services: CLM05-3, the third digit of a hospital's type of bill.

A claim of frequency 7 or 8 takes the place of one that the payer has and names it (REF*F8). Every other is the first
about its services: the whole of them (1), one of the bills in which a long stay is sent (2, 3 and 4), or what was
charged after the last of them (5).
Sources: 005010X222A1 and 005010X223A2, loop 2300 CLM05-3.
"""

from __future__ import annotations

WHOLE = "1"
FIRST, CONTINUING, LAST = "2", "3", "4"
LATE = "5"
REPLACEMENT, VOID = "7", "8"
REPLACING = (REPLACEMENT, VOID)
GOING_ON = (FIRST, CONTINUING)  # the patient is still there when the statement ends
OF_A_PART = (*GOING_ON, LAST)


def replaces_prior(frequency: str) -> bool:
    """Whether a claim of *frequency* takes the place of one that the payer has; else it is new for its services."""
    return frequency in REPLACING
