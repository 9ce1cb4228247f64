"""Codes to sentences that a biller can read, in the project's own words.

The tables are CSV files beside this module, two columns, code and sentence. They hold the frequent codes
only; a code that is not there gets a neutral sentence that names it. They are no copy of any published code
list.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources


def category(code: str) -> str:
    """What a claim status category (STC01-1) means."""
    usual = "The payer asks for more information" if code.startswith("R") else "The payer answered"
    return _table("category").get(code, f"{usual} with status category {code or 'none'}.")


def status(code: str) -> str:
    """What a claim status code (STC01-2) says."""
    return _table("status").get(code, f"The payer answered with status code {code or 'none'}.")


def entity(code: str) -> str:
    """Who an entity code (STC01-3, NM101) stands for."""
    return _table("entity").get(code, f"the party with entity code {code or 'none'}")


def interchange_error(code: str) -> str:
    """What a TA1 note code means."""
    return _table("ta1").get(code, f"The receiver gave interchange note {code or 'none'}.")


def segment_error(code: str) -> str:
    """What a segment error (IK304, AK304) means."""
    return _table("ik3").get(code, f"The receiver objects to the segment with code {code or 'none'}.")


def element_error(code: str) -> str:
    """What an element error (IK403, AK403) means."""
    return _table("ik4").get(code, f"The receiver objects to the element with code {code or 'none'}.")


def acknowledgement(code: str) -> str:
    """What an outcome (IK501, AK501, AK901) means."""
    return _table("ak").get(code, f"The receiver answered with code {code or 'none'}.")


def coverage_refusal(code: str) -> str:
    """Why a payer could not answer about a coverage (AAA03)."""
    return _table("aaa").get(code, f"The payer could not answer about a coverage (reason {code or 'none'}).")


def adjustment_reason(code: str) -> str:
    """What a claim adjustment reason (CAS02) means."""
    return _table("carc").get(code, f"Adjustment reason {code or 'none'}.")


def claim_outcome(code: str) -> str:
    """What a claim payment status (CLP02) means."""
    return _table("clp").get(code, f"Claim status {code or 'none'}.")


@cache
def _table(name: str) -> dict[str, str]:
    text = (resources.files(__package__) / "codes" / f"{name}.csv").read_text("utf-8")
    return {row["code"]: row["sentence"] for row in csv.DictReader(text.splitlines())}
