"""The rules that a claim is under, in layers: clearinghouse, payer, site. The guide is the edits' and pyx12's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.billing.config import BillingConfig
from hub.billing.rules.model import Rule
from hub.formats.x12.claim import Claim

CheckFunction = Callable[[Claim], Any]


@dataclass(frozen=True, slots=True)
class LayeredRule:
    """A rule and whose it is: ``clearinghouse``, ``payer`` or ``site``."""

    layer: str
    rule: Rule

    @property
    def name(self) -> str:
        """What the rule is called on claims, in reports and by ``replaces``: ``payer/npi-billing-taxonomy``."""
        return f"{self.layer}/{self.rule.id}"


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules that one payer's claims are under, and what is needed to follow them."""

    rules: tuple[LayeredRule, ...] = ()
    checks: Mapping[str, CheckFunction] | None = None
    bundle: str = ""


def rule_book(config: BillingConfig, payer_id: str) -> RuleBook:
    """The rules for claims to that payer."""
    payer = config.payers.get(payer_id)
    partner = config.partners.get(payer.partner) if payer else None
    rules = [LayeredRule("clearinghouse", rule) for rule in (partner.rules if partner else ())]
    rules += [LayeredRule("payer", rule) for rule in (payer.rules if payer else ())]
    rules += [LayeredRule("site", rule) for rule in config.site_rules]
    return RuleBook(tuple(rules), config.checks, config.bundle)
