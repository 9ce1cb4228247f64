"""``[[rule]]`` in ``config/partners``, ``config/payers`` and ``config/rules``: the form of a rule.

``docs/payer-rules.md`` is the reference for people.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

VERBS = ("require", "forbid", "limit", "set", "propose", "hold", "check")


def _many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return f"{value}" if isinstance(value, int | date) and not isinstance(value, bool) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_many)]
Values = dict[str, Annotated[str, BeforeValidator(_text)]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Part):
    """Conditions, all of which must hold. Texts may be lists (any of them fits) and may end in ``*``."""

    form: Literal["837P", "837I"] | None = None
    payer: Texts = ()
    filing: Texts = Field(default=(), description="Claim filing indicator, SBR09.")
    sequence: Texts = Field(default=(), description="Place of the payer: P, S, T.")
    frequency: Texts = ()
    relationship: Literal["self", "other"] | None = None
    place_of_service: Texts = ()
    diagnosis: Texts = Field(default=(), description="One of the claim's diagnoses.")
    diagnosis_missing: Texts = Field(default=(), description="None of the claim's diagnoses.")
    rendering_npi: Texts = ()
    rendering_taxonomy: Texts = ()
    sex: Texts = ()
    age_under: int | None = None
    age_over: int | None = None
    charge_over: Decimal | None = None
    has: Texts = Field(default=(), description="Fields that are filled.")
    lacks: Texts = Field(default=(), description="Fields that are empty.")
    code: Texts = Field(default=(), description="A line's procedure code.")
    other_code: Texts = Field(default=(), description="The procedure code of another line of the same day.")
    modifier: Texts = Field(default=(), description="A line's modifier.")
    modifier_missing: Texts = Field(default=(), description="A modifier that the line does not have.")
    units_over: Decimal | None = None


class Limit(_Part):
    """What ``limit`` allows of one field. ``lines`` stands for the number of lines."""

    field: str
    most: Decimal | None = None
    least: Decimal | None = None
    length: int | None = None
    pattern: str = ""


class RuleSample(_Part):
    """A claim that the rule lets pass, or hits: the whole sample claim with these fields changed."""

    result: Literal["pass", "hit"]
    claim: Values = Field(default_factory=dict)
    lines: tuple[Values, ...] = Field(default=(), description="More lines than the first.")


class Rule(_Part):
    """One rule: when, one verb, and the sentence that billers read."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,39}$", examples=["npi-billing-taxonomy"])
    when: When = When()
    require: Texts = ()
    forbid: Texts = ()
    limit: Limit | None = None
    set: Values = Field(default_factory=dict)
    propose: Values = Field(default_factory=dict)
    hold: bool = False
    check: str = Field(default="", pattern=r"^([a-z_][a-z0-9_.]*:[a-z_][a-z0-9_]*)?$")
    severity: Literal["error", "warning", "info"] = "error"
    say: str = Field(min_length=10, description="The sentence for billers.")
    fix: str = Field(default="", description="What billers do about it, and where.")
    source: str = ""
    effective: date | None = Field(default=None, description="First date of service.")
    ends: date | None = Field(default=None, description="Last date of service.")
    replaces: str = Field(default="", description="The rule or edit that this one loosens.")
    samples: tuple[RuleSample, ...] = Field(default=(), alias="sample")

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs that the rule uses; a sound rule has one, or none when it only replaces another."""
        return tuple(verb for verb in VERBS if getattr(self, verb))


class SiteRules(_Part):
    """``config/rules/NAME.toml``: what the practice asks of its own claims."""

    schema_: Literal[1] = Field(alias="schema")
    rules: tuple[Rule, ...] = Field(default=(), alias="rule")
