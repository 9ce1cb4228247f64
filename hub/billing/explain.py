"""Where each element of a claim's 837 came from: a field of a message, the site's files, a rule, a person, or the hub.

The writer says which field of the claim an element is (:mod:`hub.formats.x12.element_sources`), :data:`_SOURCES` what
fills that field, and the claim remembers where the mapping of its visit and charges had read it when the claim was made
(where it does not, as they stand now counts). Repairs and what people accepted come on top.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from hub.billing.claim_body import ClaimBody, Source, Sources
from hub.billing.open_charge import BY_PERSON
from hub.billing.rules.fields import FIELDS, field_of
from hub.billing.values import FROM_MESSAGE
from hub.core.vault import Vault
from hub.formats.x12.element_sources import ElementSource, element_sources
from hub.formats.x12.frequency import CONTINUING, FIRST, LAST, LATE
from hub.store.tables import charge as charge_table
from hub.store.tables import claim_event, claim_line
from hub.store.tables import visit as visit_table

MADE_HERE = "made by the hub"
GUIDE = "the implementation guide"
EARLIER_PAYER = "the remittance of an earlier payer"


@dataclass(frozen=True, slots=True)
class Origin:
    """One place that an element came from. *kind* is ``message``, ``file``, ``rule``, ``person``, ``hub`` or ``guide``.

    *place* says it: a path in the message *message_id*, a table's row and column, a file and key, a rule's name.
    """

    kind: str
    place: str
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """An element of the 837 with everything that it came from, the newest word first."""

    element: ElementSource
    origins: tuple[Origin, ...]

    @property
    def place(self) -> str:
        """``2400/SV101-2``."""
        return f"{self.element.loop}/{self.element.reference}"


# A claim's field (a pattern of its path) to what fills it: "charge FIELD", "visit FIELD", "practice KEY", "payer KEY",
# "stay FIELD" of the visit, or one of the sentences above. The first that fits counts.
_SOURCES: tuple[tuple[str, str], ...] = (
    (r"control_number|lines\[\d*\]\.control_number|lines\.control_number", MADE_HERE),
    (r"frequency|payer_claim_control_number|subscriber\.sequence", MADE_HERE),
    (r"other_payers.*|lines.*\.adjudications.*", EARLIER_PAYER),
    (r"billing_provider\.party\.name", "practice name"),
    (r"billing_provider\.party\..*", "practice sole_proprietor"),
    (r"billing_provider\.(npi|tax_id|tax_id_kind|taxonomy)", r"practice \1"),
    (r"billing_provider\.(address|pay_to|pay_to_plan).*", r"practice [\1]"),
    (r"payer\.(name|address)", r"payer \1"),
    (r"payer\.id", "visit coverages[0].payer_id"),
    (r"payer\.filing_indicator", "payer claim_filing"),
    (r"payer\.provider_ids.*", "payer provider_id or location_id"),
    (r"payer\.secondary_ids.*", "payer secondary_id, tax_id, claim_office or naic"),
    (r"billing_provider\.secondary_ids.*", "practice license or upin"),
    (r"(.*\.)?secondary_ids.*", "numbers"),
    (r"assignment", "payer accepts_assignment"),
    (r"benefits_assignment", "visit coverages[0].assigned"),
    (r"release", "visit coverages[0].released"),
    (r"subscriber\.(member_id|group_number|group_name|insurance_type)", r"visit coverages[0].\1"),
    (r"(subscriber|patient)\.property_claim_number", "visit coverages[0].claim_number"),
    (r"(subscriber|patient)\.circumstances\.death_date", "visit patient.death_date"),
    (r"subscriber\.person\.(last|first|middle|suffix)", r"insured name.\1"),
    (r"subscriber\.(birth_date|sex)", r"insured \1"),
    (r"subscriber\.address\.(\w+)", r"insured address.\1"),
    (r"patient\.person\.(last|first|middle|suffix)", r"visit patient.name.\1"),
    (r"patient\.address\.(\w+)", r"visit patient.address.\1"),
    (r"patient\.(birth_date|sex)", r"visit patient.\1"),
    (r"patient\.relationship", "visit coverages[0].relationship"),
    (r"medical_record_number", "visit patient.mrn"),
    (r"place_of_service", "charge place_of_service"),
    (r"clia", "practice clia"),
    (r"facility\..*", "practice [[facility]]"),
    (r"(referral_number|prior_authorisation)", r"visit \1"),
    (r"onset_date", "visit onset"),
    (r"discharge_date", "visit stay.discharged"),
    (r"(initial_treatment|last_seen|acute|menstrual|xray|prescription|last_worked)_date", r"visit dates.\1"),
    (r"(care_assumed|care_relinquished|first_contact)_date", r"visit dates.\1"),
    (r"(disability_from|disability_to)", r"visit dates.\1"),
    (r"return_date", "visit dates.returned"),
    (r"special_program", "visit special_program"),
    (r"(subscriber|patient)\.circumstances\.(pregnant|weight)", r"visit \2"),
    (r"patient_paid", "visit patient_paid"),
    (r"ambulance\.(.*)", r"visit transport.\1"),
    (r"accident_(state)", r"visit accident.\1"),
    (r"accident_date", "visit accident.on"),
    (r"related_causes.*", "visit accident.cause"),
    (r"admission_date", "visit stay.admitted"),
    (r"attachments\[(\d+)\]\.(\w+)", r"visit attachments[\1].\2"),
    (r"condition_codes\[(\d+)\]", r"visit stay.conditions[\1]"),
    (r"(referring|supervising)\.npi", r"visit \1_npi"),
    (r"institutional\.(attending)\.npi", r"visit \1_npi"),
    (r"institutional\.(operating|other_operating)\.npi", r"visit stay.\1_npi"),
    (r"rendering\.npi", "charge performing_npi"),
    (r"(.*\.)?ordering\.npi", "charge ordering_npi"),
    (r"(.*\.)?(rendering|referring|supervising|ordering)\..*", "practice [[provider]]"),
    (r"institutional\.(attending|operating|other_operating)\..*", "practice [[provider]]"),
    (r"institutional\.facility_type", "visit stay.type_of_bill"),
    (r"institutional\.statement_from", "visit stay.admitted"),
    (r"institutional\.statement_to", "visit stay.discharged"),
    (r"institutional\.external_causes\[(\d+)\]\.code", r"visit stay.external_causes[\1]"),
    (r"institutional\.(.+)", r"visit stay.\1"),
    (r"diagnoses\[(\d+)\]", r"diagnosis \1"),
    (r"lines(\[\d+\])?\.charge", "charge amount"),
    (r"lines(\[\d+\])?\.pointers.*", "charge diagnoses"),
    (r"lines(\[\d+\])?\.(units|unit_code)", "charge units"),
    (r"lines(\[\d+\])?\.(.+)", r"charge \2"),
)
# The same of one bill of several for a long stay, whose days the payer's file says.
_OF_A_PART = (
    ((FIRST, CONTINUING, LAST), r"frequency", "payer interim"),
    ((FIRST, CONTINUING), r"institutional\.(statement_to|patient_status)", "payer interim"),
    ((CONTINUING, LAST), r"institutional\.statement_from", "payer interim"),
    ((LATE,), r"frequency", "payer late_charges"),
)
_NAMES = {"last": "family", "first": "given", "line1": "line"}
_COMPILED = tuple((re.compile(pattern), source) for pattern, source in _SOURCES)


def explain(connection: Connection, vault: Vault, claim_id: int, body: Any) -> list[Explained]:
    """Every element of the claim's 837 with its origins. *body* is the unsealed body of its row."""
    kept = ClaimBody.from_plain(body)
    known = _Known(connection, vault, claim_id, kept)
    return [Explained(each, tuple(known.origins(each))) for each in element_sources(kept.claim)]


class _Known:
    """What is known of one claim's sources."""

    def __init__(self, connection: Connection, vault: Vault, claim_id: int, kept: ClaimBody) -> None:
        self._claim = kept.claim
        self._kept = kept
        sources = kept.sources or _present_sources(connection, vault, claim_id)
        self._charges = [_Read(source) for source in sources.charges]
        self._visit = _Read(sources.visit)
        self._events = [
            (actor, json.loads(detail or "{}"))
            for actor, detail in connection.execute(
                select(claim_event.c.actor, claim_event.c.detail)
                .where(claim_event.c.claim_id == claim_id)
                .order_by(claim_event.c.id.desc())
            )
        ]

    def origins(self, element: ElementSource) -> Iterator[Origin]:
        if not element.paths:
            yield Origin("guide", GUIDE)
        for path in element.paths:
            yield from self._changed(path)
            yield from self._said(path, element.line)

    def _changed(self, path: str) -> Iterator[Origin]:
        """Who changed the field since the charges said it."""
        for proposal in self._kept.accepted:
            field = field_of(proposal.field)
            own = ".".join(field.path)
            if path == (f"lines[{proposal.line - 1}].{own}" if field.line else own) or path.startswith(f"{own}["):
                yield Origin("person", f"{self._who()} accepted a proposal for {proposal.field}")
        for _, detail in self._events:
            for repair in detail.get("repairs", ()):
                place = _path_of(repair["place"])
                if place == path or path.startswith(f"{place}["):
                    yield Origin("rule", repair["rule"])
                    return

    def _who(self) -> str:
        said = "accepted a proposal"
        return next((actor for actor, detail in self._events if said in detail.get("sentence", "")), "a person")

    def _said(self, path: str, line: int) -> Iterator[Origin]:
        for bills, places, source in _OF_A_PART:
            if self._claim.frequency in bills and re.fullmatch(places, path):
                yield from self._resolved(source, line)
                return
        for pattern, template in _COMPILED:
            match = pattern.fullmatch(path)
            if match:
                yield from self._resolved(match.expand(template), line)
                return
        yield Origin("hub", MADE_HERE)

    def _resolved(self, source: str, line: int) -> Iterator[Origin]:
        kind, _, name = source.partition(" ")
        name = re.sub(r"\b(last|first|line1)\b", lambda found: _NAMES[found[0]], name)
        match kind:
            case "practice":
                yield Origin("file", f"config/practice.toml, {name}")
            case "numbers":
                yield Origin("file", "config/practice.toml, license or upin")
                yield Origin("file", f"config/payers, {self._claim.payer.id}, [provider_numbers], [location_numbers]")
            case "payer":
                yield Origin("file", f"config/payers, {self._claim.payer.id}, {name}")
            case "insured" if self._claim.patient is None:
                yield self._visit.origin(f"patient.{name}")
            case "insured":
                yield self._visit.origin(f"coverages[0].insured_{name}")
            case "visit":
                yield from self._visit.elsewhere(name) or [self._visit.origin(name)]
            case "diagnosis":
                yield from self._diagnosis(int(name))
            case "charge":
                of = [self._charges[line - 1]] if 0 < line <= len(self._charges) else self._charges
                yield from dict.fromkeys(charge.origin(name) for charge in of)
            case _:
                yield Origin("hub", source)

    def _diagnosis(self, number: int) -> Iterator[Origin]:
        """The hospital's own diagnosis, or every charge that names it."""
        code = self._claim.diagnoses[number]
        if self._claim.institutional and code in self._visit.diagnoses:
            yield self._visit.origin(f"stay.diagnoses[{self._visit.diagnoses.index(code)}]")
            return
        for charge in self._charges:
            if code in charge.diagnoses:
                yield charge.origin(f"diagnoses[{charge.diagnoses.index(code)}]")


def _present_sources(connection: Connection, vault: Vault, claim_id: int) -> Sources:
    """Where the visit and the charges stand now, for a claim that does not say where they stood."""
    rows = connection.execute(
        select(charge_table.c.body, charge_table.c.message_id, charge_table.c.visit_id)
        .join(claim_line, claim_line.c.charge_id == charge_table.c.id)
        .where(claim_line.c.claim_id == claim_id)
        .order_by(claim_line.c.ordinal)
    ).all()
    charges = [_source(vault.open_json(row.body, "charge.body").get("charge", {}), row.message_id) for row in rows]
    visits = select(visit_table.c.body).where(visit_table.c.id.in_({row.visit_id for row in rows}))
    found = [vault.open_json(body, "visit.body") for (body,) in connection.execute(visits)]
    visit = found[0] if found else {}
    about = {"diagnoses": (visit.get("stay") or {}).get("diagnoses", ()), "origins": visit.get("origins", ())}
    return Sources(_source(about, visit.get("message_id")), tuple(charges))


def _source(said: dict[str, Any], message_id: int | None) -> Source:
    origins = tuple((field, place) for field, place in said.get("origins", ()))
    return Source(message_id, origins, tuple(said.get("diagnoses", ())))


def _path_of(place: str) -> str:
    """The path of the field that a repair names by a rule's word for it (``note``, ``lines[1].code``)."""
    line, _, name = place.rpartition(".")
    known = FIELDS.get(name)
    if known is None or (line and not re.fullmatch(r"lines\[\d+\]", line)):
        return place
    own = ".".join(known.path)
    return f"lines[{int(line[6:-1]) - 1}].{own}" if line else own


class _Read:
    """Where a message said each field of a visit or charge."""

    def __init__(self, source: Source) -> None:
        self.diagnoses = source.diagnoses
        self._message_id = source.message_id
        self._places = dict(source.origins)
        self._script = self._places.get("script", "")

    def elsewhere(self, field: str) -> list[Origin]:
        """Where other messages said the parts of *field*; nothing where its own message did."""
        places = [place for path, place in self._places.items() if path.startswith(f"{field}[")]
        found = [re.fullmatch(rf"{FROM_MESSAGE}(\d+): (.*)", place) for place in places]
        return [Origin("message", each[2], int(each[1])) for each in found if each]

    def origin(self, field: str) -> Origin:
        """Where *field* was read, the whole of a list if that is what is asked for; else the script that made it."""
        within = (f"{field}[", f"{field}.")
        places = [place for path, place in self._places.items() if path == field or path.startswith(within)]
        if places:
            if places[0].startswith(BY_PERSON):
                return Origin("person", f"{places[0].removeprefix(BY_PERSON)} corrected {field.replace('_', ' ')}")
            kind = "file" if places[0].startswith("transforms/") else "message"
            return Origin(kind, ", ".join(dict.fromkeys(places)), self._message_id)
        place = f"the script {self._script}" if self._script else "its message, by a mapping that kept no places"
        return Origin("message", f"{field} by {place}", self._message_id)
