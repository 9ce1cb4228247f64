"""The rules of a site: ``config/rules/*.toml``, and what is wrong with any rule of partners, payers and site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hub.billing.config import BillingConfig
from hub.billing.rules.layers import LayeredRule, RuleBook
from hub.billing.rules.model import Rule
from hub.billing.rules.sound import problems
from hub.core.errors import HubError
from hub.site.files import TomlFile, read_toml
from hub.site.findings import Finding
from hub.site.scripts import Scripts


def rule_functions(billing: BillingConfig, scripts: Scripts) -> dict[str, Callable[[Any], Any]]:
    """The functions that rules name, by ``module:function``; those that cannot be loaded are left out."""
    found: dict[str, Callable[[Any], Any]] = {}
    for rule in _all_rules(billing):
        if rule.check:
            module, _, name = rule.check.partition(":")
            try:
                function = getattr(scripts.module(module), name, None)
            except HubError:
                continue
            if callable(function):
                found[rule.check] = function
    return found


def rule_files(folder: Path) -> dict[tuple[str, str], TomlFile]:
    """The files that may hold rules, by layer and owner, as far as they can be read."""
    found: dict[tuple[str, str], TomlFile] = {}
    for part, layer, owner in (
        ("partners", "clearinghouse", "name"),
        ("payers", "payer", "payer_id"),
        ("rules", "site", ""),
    ):
        for path in sorted((folder / "config" / part).glob("*.toml")):
            file = read_toml(folder, path.relative_to(folder).as_posix())
            if isinstance(file, TomlFile):
                found[layer, str(file.data.get(owner, path.stem))] = file
    return found


def rule_findings(
    billing: BillingConfig, scripts: Scripts, files: dict[tuple[str, str], TomlFile]
) -> Iterator[Finding]:
    """What is wrong with the site's rules. *files* are those that hold them, by layer and owner.

    The owner is a partner's name, a payer's id, or the name of a file below ``config/rules``.
    """
    book = RuleBook((), rule_functions(billing, scripts))
    partners = {name: partner.rules for name, partner in billing.partners.items()}
    payers = {payer_id: payer.rules for payer_id, payer in billing.payers.items()}
    by_partner = {rule.id for rules in partners.values() for rule in rules}
    by_payer = {rule.id for rules in payers.values() for rule in rules}
    below = frozenset(f"clearinghouse/{name}" for name in by_partner)
    for name, rules in partners.items():
        yield from _of_file(files.get(("clearinghouse", name)), "clearinghouse", rules, frozenset(), book)
    for payer_id, rules in payers.items():
        yield from _of_file(files.get(("payer", payer_id)), "payer", rules, below, book)
    below |= frozenset(f"payer/{name}" for name in by_payer)
    seen: set[str] = set()
    for (layer, _), file in files.items():
        if layer == "site":
            own = [rule for rule in billing.site_rules if rule.id in _ids(file)]
            yield from _of_file(file, "site", tuple(own), below, book, seen)


def _ids(file: TomlFile) -> list[object]:
    return [each.get("id") for each in file.data.get("rule", ()) if isinstance(each, dict)]


def _of_file(
    file: TomlFile | None,
    layer: str,
    rules: tuple[Rule, ...],
    below: frozenset[str],
    book: RuleBook,
    seen: set[str] | None = None,
) -> Iterator[Finding]:
    if file is None:
        return
    seen = set() if seen is None else seen
    for number, rule in enumerate(rules):
        if rule.id in seen:
            yield file.finding(("rule", number, "id"), "H526", f'There are two rules "{rule.id}" in this layer.')
        earlier = below | {f"{layer}/{name}" for name in seen}
        seen.add(rule.id)
        for problem in problems(LayeredRule(layer, rule), frozenset(earlier), book):
            key = ("rule", number, *problem.key)
            yield file.finding(key, problem.code, problem.sentence, problem.fix, warning=problem.warning)


def _all_rules(billing: BillingConfig) -> Iterator[Rule]:
    for partner in billing.partners.values():
        yield from partner.rules
    for payer in billing.payers.values():
        yield from payer.rules
    yield from billing.site_rules
