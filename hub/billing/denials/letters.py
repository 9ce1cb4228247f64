"""Letters of appeal: templates that a site may edit, written with the facts of one denial.

A template is text with Jinja's ``{{ }}`` and ``{% %}``, run in a sandbox; a name that no fact has is a mistake,
found by ``hub check`` and not by the payer. :data:`SAMPLE` shows every fact there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from hub.core.errors import HubError

Facts = Mapping[str, Any]
LEVELS = ("First", "Second", "Third", "Fourth", "Fifth")
TIMELY = "timely_filing"
GENERAL = "appeal"

SAMPLE: dict[str, Any] = {
    "today": "2026-12-01",
    "level": "First",
    "payer": "Sample Mutual",
    "argument": "The record of the visit shows why the service was necessary.",
    "practice": {
        "name": "Sample Clinic",
        "address": "1 Elm Avenue, Springfield IL 62701",
        "phone": "2175550100",
        "contact": "BILLING OFFICE",
        "npi": "1999000015",
        "tax_id": "371990001",
    },
    "patient": {"name": "Wren Examplar", "birth_date": "1980-02-14", "member_id": "W000000000"},
    "claim": {
        "number": "CLAIM1",
        "payer_number": "ICN1",
        "service_date": "2026-11-10",
        "charge": "150.00",
        "lines": [{"date": "2026-11-10", "code": "99213", "modifiers": "25", "charge": "150.00"}],
    },
    "denial": {"date": "2026-11-20", "amount": "60.00", "where": "line 1", "codes": "CO-50", "remarks": "N115"},
    "proofs": ["2026-11-12: the payer took the claim up (277CA, A2)"],
    "evidence": ["Record of the visit of 2026-11-10"],
}


class LetterError(HubError):
    """A letter cannot be written from its template."""

    code = "H631"
    line = 0


def names(site: Mapping[str, str]) -> list[str]:
    """The letters there are: the shipped ones, and those of the *site*."""
    return sorted({*_shipped(), *site})


def write(name: str, site: Mapping[str, str], facts: Facts) -> str:
    """The letter *name* with *facts*. Raises :class:`LetterError`."""
    template = site.get(name) or _shipped().get(name)
    if template is None:
        raise LetterError("There is no such letter.", found=name, expected=", ".join(names(site)))
    return _rendered(template, facts)


def examine(template: str) -> None:
    """Write a letter with sample facts. Raises :class:`LetterError` with the line of the template."""
    _rendered(template, SAMPLE)


def _rendered(template: str, facts: Facts) -> str:
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    try:
        return environment.from_string(template).render(facts)
    except TemplateError as problem:
        error = LetterError(
            "A letter's template cannot be used.",
            found=(problem.message or "")[:120],
            fix="Its facts stand in docs/denials.md.",
        )
        error.line = problem.lineno if isinstance(problem, TemplateSyntaxError) else 0
        raise error from None


@cache
def _shipped() -> dict[str, str]:
    folder = resources.files(__package__) / "appeals"
    return {
        each.name.removesuffix(".txt"): each.read_text("utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".txt")
    }
