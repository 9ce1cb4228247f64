"""``config/``: the practice, its partners and payers, how it bills, what it charges."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from hub.billing.config import AWAY, BillingConfig, BillingPolicy, Partner, Payer, Practice
from hub.billing.rules.model import Rule, SiteRules
from hub.core.errors import HubError
from hub.core.money import MoneyError, money
from hub.site.denial_files import appeal_letters, denial_table
from hub.site.files import TomlFile, read_toml
from hub.site.findings import Finding, did_you_mean
from hub.site.models import check_model
from hub.site.overlay import Overlay
from hub.site.script_tables import TableError, read_table
from hub.site.settings import HubSettings

M = TypeVar("M", bound=BaseModel)


def read_settings(folder: Path, overlay: Overlay) -> tuple[HubSettings | None, list[Finding]]:
    """``config/hub.toml``."""
    _, settings, findings = _read(folder, "config/hub.toml", HubSettings, overlay, ("hub",))
    return settings, findings


def read_billing(
    folder: Path, settings: HubSettings | None, overlay: Overlay
) -> tuple[BillingConfig | None, list[Finding]]:
    """Everything billing knows of the site, and what is wrong with it; None when it is too wrong to bill with."""
    file, practice, findings = _read(folder, "config/practice.toml", Practice, overlay, ("practice",))
    if practice is not None and file is not None:
        findings += _practice_findings(practice, file)
    _, policy, found = _read(folder, "config/billing.toml", BillingPolicy, overlay, ("billing",))
    findings += found
    partners, found = _partners(folder, overlay, settings)
    findings += found
    payers, found = _payers(folder, overlay, partners)
    findings += found
    fees, found = _fees(folder)
    findings += found
    contracts, found = _contracts(folder)
    findings += found
    denials, found = denial_table(folder)
    findings += found
    appeals, found = appeal_letters(folder)
    findings += found
    rules, found = _rules(folder, overlay)
    findings += found
    if settings is None or practice is None or policy is None:
        return None, findings
    config = BillingConfig(
        settings.environment,
        practice,
        policy,
        partners,
        payers,
        fees,
        site_rules=rules,
        contracts=contracts,
        denials=denials,
        appeals=appeals,
    )
    return config, findings


def _partners(folder: Path, overlay: Overlay, settings: HubSettings | None) -> tuple[dict[str, Partner], list[Finding]]:
    """The partners by name."""
    partners: dict[str, Partner] = {}
    findings: list[Finding] = []
    for name in _names(folder, "config/partners"):
        file, partner, found = _read(folder, name, Partner, overlay, ("partners", Path(name).stem))
        findings += found
        if partner is None or file is None:
            continue
        if settings is not None and partner.environment != settings.environment:
            sentence = f"This partner is for {partner.environment}, this site is {settings.environment}."
            findings.append(file.finding(("environment",), "H506", sentence, "The two never mix."))
        if partner.name in partners:
            findings.append(file.finding(("name",), "H503", f'Partner "{partner.name}" stands twice.'))
        partners[partner.name] = partner
    return partners, findings


def _payers(folder: Path, overlay: Overlay, partners: dict[str, Partner]) -> tuple[dict[str, Payer], list[Finding]]:
    """The payers by id."""
    payers: dict[str, Payer] = {}
    findings: list[Finding] = []
    for name in _names(folder, "config/payers"):
        file, payer, found = _read(folder, name, Payer, overlay, ("payers", Path(name).stem.partition("_")[0]))
        findings += found
        if payer is None or file is None:
            continue
        findings += _payer_findings(payer, file, partners, payers)
        payers[payer.payer_id] = payer
    return payers, findings


def _rules(folder: Path, overlay: Overlay) -> tuple[tuple[Rule, ...], list[Finding]]:
    """The site's own rules, in the order of their files."""
    rules: tuple[Rule, ...] = ()
    findings: list[Finding] = []
    for name in _names(folder, "config/rules"):
        _, of_site, found = _read(folder, name, SiteRules, overlay, ("rules", Path(name).stem))
        findings += found
        rules += of_site.rules if of_site else ()
    return rules, findings


def _names(folder: Path, part: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted((folder / part).glob("*.toml"))]


def _read(
    folder: Path, name: str, model: type[M], overlay: Overlay, document: tuple[str, ...]
) -> tuple[TomlFile | None, M | None, list[Finding]]:
    file = read_toml(folder, name)
    if isinstance(file, Finding):
        return None, None, [file]
    overlay.lay_over(document, file.data)
    checked, findings = check_model(model, file.data, file, ())
    return file, checked, findings


def _practice_findings(practice: Practice, file: TomlFile) -> list[Finding]:
    findings = []
    try:
        ZoneInfo(practice.time_zone)
    except (KeyError, OSError, ValueError):
        fix = 'A name of the time zone database, such as "America/Chicago".'
        findings.append(file.finding(("time_zone",), "H202", "This is not a time zone.", fix))
    numbers = [("npi", practice.npi)]
    numbers += [("provider", provider.npi) for provider in practice.providers]
    for number, (name, npi) in enumerate(numbers):
        if not _npi_is_right(npi):
            key = (name,) if name == "npi" else (name, number - 1, "npi")
            sentence = "The check digit of this NPI is wrong."
            findings.append(file.finding(key, "H505", sentence, "Look it up in NPPES.", warning=True))
    return findings + list(_misplaced(practice, file))


def _misplaced(practice: Practice, file: TomlFile) -> Iterator[Finding]:
    """The departments whose place of service is not one that their facility, or the practice's own address, has."""
    facilities = {each.code: each.places_of_service for each in practice.facilities}
    facilities[""] = practice.places_of_service
    for number, department in enumerate(practice.departments):
        has = facilities.get(department.facility, ())
        if has and department.bills != "837I" and department.place_of_service not in {*has, *AWAY}:
            sentence = f"The {'facility' if department.facility else 'practice'} has no such place of service."
            fix = f"It has {', '.join(has)}: correct one of them."
            yield file.finding(("department", number, "place_of_service"), "H504", sentence, fix, warning=True)


def _npi_is_right(npi: str) -> bool:
    from hub.formats.hl7v2.convert import npi as convert

    try:
        convert(npi)
    except HubError:
        return False
    return True


def _payer_findings(
    payer: Payer, file: TomlFile, partners: dict[str, Partner], before: dict[str, Payer]
) -> list[Finding]:
    findings = []
    if payer.payer_id in before:
        findings.append(file.finding(("payer_id",), "H503", f"Payer {payer.payer_id} stands twice."))
    if payer.partner not in partners:
        fix = did_you_mean(payer.partner, partners) or f"known: {', '.join(partners)}"
        findings.append(file.finding(("partner",), "H501", f'There is no partner "{payer.partner}".', fix))
    try:
        re.compile(payer.member_id)
    except re.error:
        findings.append(file.finding(("member_id",), "H202", "This is not a regular expression."))
    return findings


def _fees(folder: Path) -> tuple[dict[str, Decimal], list[Finding]]:
    """The fee schedule by procedure code; a site without one bills what its charges say."""
    name = "config/fees.csv"
    if not (folder / name).exists():
        return {}, []
    try:
        table = read_table(folder / name, name=name, key="code")
    except TableError as error:
        file, _, line = error.where.partition(":")
        return {}, [Finding(file, int(line or 0), 0, "H502", "error", error.what, error.expected)]
    fees: dict[str, Decimal] = {}
    findings = []
    for row in table.rows():
        try:
            fees[row["code"]] = money(row["fee"])
        except (MoneyError, TableError) as error:
            findings.append(Finding(name, row.line, 0, "H502", "error", error.what, error.expected))
    return fees, findings


def _contracts(folder: Path) -> tuple[dict[tuple[str, str], Decimal], list[Finding]]:
    """What payers' contracts allow for one unit, by payer and procedure code; without them nothing is compared."""
    name = "config/contracts.csv"
    if not (folder / name).exists():
        return {}, []
    contracts: dict[tuple[str, str], Decimal] = {}
    findings = []
    with (folder / name).open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened, restval="")
        missing = [column for column in ("payer", "code", "allowed") if column not in (reader.fieldnames or ())]
        if missing:
            what = f'The table has no column "{missing[0]}".'
            return {}, [Finding(name, 1, 0, "H507", "error", what, "payer,code,allowed")]
        for row in reader:
            key = (row["payer"].strip(), row["code"].strip())
            try:
                if key in contracts:
                    raise TableError("A payer's code stands twice.")
                contracts[key] = money(row["allowed"])
            except (MoneyError, TableError) as error:
                findings.append(Finding(name, reader.line_num, 0, "H507", "error", error.what, error.expected))
    return contracts, findings
