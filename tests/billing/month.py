"""A month as an EHR tells it: one visit for each thing that can be wrong, as HL7 messages, and the site's files for it.

Nothing here is handed to billing by itself: everything goes through the demo site's own mapping scripts.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hub.billing.config import BillingConfig, Facility, PostalAddress, Provider
from hub.billing.refdata.kinds import KINDS, Entry
from hub.simulators.hl7 import Segment, write
from tests.billing.edit_samples import PAYER, TABLES

NPIS = ("1999000114", "1999000221", "1999000338", "1999000445", "1999000551", "1999000668", "1999000775", "1999000882")
PAYERS = tuple(f"900{number:02d}" for number in range(1, 13))
TODAY = date(2026, 11, 10)
DAY = timedelta(days=1)
GONE = "1999000577"  # a provider from outside whose number is not active any more
UNLISTED = "90012"  # the clearinghouse takes no claims for it

EVERYTHING: dict[str, tuple[Entry, ...]] = {
    **TABLES,
    "npi": (
        Entry("1999000015", facts={"entity": "2"}),
        *(Entry(npi, facts={"entity": "1"}) for npi in NPIS),
        Entry("1999000016", facts={"entity": "2"}),
        Entry(GONE, ends="2026-01-01", facts={"entity": "1"}),
    ),
    "taxonomy": tuple(Entry(code) for code in ("207Q00000X", "363LF0000X", "207R00000X", "208000000X")),
    "payers": tuple(Entry(payer) for payer in PAYERS if payer != UNLISTED),
}
MANY = tuple(f"{number}" for number in range(10001, 10052))  # one more service than a claim may have lines
EVERYTHING["cpt"] += tuple(Entry(each) for each in MANY)
Change = Callable[[BillingConfig], BillingConfig]
Fields = dict[int, str]


def _same(config: BillingConfig) -> BillingConfig:
    return config


@dataclass(frozen=True)
class Told:
    """One visit and its charges, as overrides of a clean one; *site* is what the site's files say otherwise."""

    pid: Fields = field(default_factory=dict)
    pv1: Fields = field(default_factory=dict)
    in1: Fields = field(default_factory=dict)
    more: tuple[Segment, ...] = ()
    charges: tuple[Fields, ...] = ({},)
    department: str = "FM"
    on: date = TODAY
    payer: str = ""
    note: str = ""  # TXA-17 of a note of the visit
    before: Told | None = None  # an earlier visit of the same patient
    site: Change = _same


def messages(name: str, number: int, told: Told) -> list[tuple[str, bytes]]:
    """The registration and the charges, with the message types that they have."""
    account, npi, payer = f"AC{name}", NPIS[number % len(NPIS)], told.payer or PAYERS[number % (len(PAYERS) - 1)]
    doctor = f"{npi}^EXAMPLAR^ROBIN^^^^^^NPI^^^^NPI"
    stays = told.department == "WARD"
    pid = {
        1: "1", 3: f"MR{name}^^^ALDER^MR", 5: "EXAMPLAR^WREN", 7: "19800214", 8: "F",
        11: "42 ELM AVE^^SPRINGFIELD^IL^62702^USA^H", 18: f"{account}^^^ALDER^AN",
    }  # fmt: skip
    pv1 = {
        1: "1", 2: "I" if stays else "O", 3: f"{told.department}^^^ALDER", 7: doctor, 19: f"V{name}^^^ALDER^VN",
        44: f"{told.on:%Y%m%d}0930",
    }  # fmt: skip
    if stays:
        pv1 |= {4: "1", 14: "1", 36: "01", 45: f"{told.on + 2 * DAY:%Y%m%d}1500"}
    in1 = {
        1: "1", 2: "PLAN", 3: f"{payer}^^^PAYER", 4: "A PAYER", 16: "EXAMPLAR^WREN", 17: "SEL", 18: "19800214",
        19: "42 ELM AVE^^SPRINGFIELD^IL^62702^USA^H", 20: "Y", 22: "1", 27: "Y", 36: f"W{number:09d}", 43: "F",
    }  # fmt: skip
    registered: list[Segment] = [("PID", pid | told.pid), ("PV1", pv1 | told.pv1), *told.more[:-1]]
    registered += [("IN1", in1 | told.in1), *told.more[-1:]]
    charged: list[Segment] = [("PID", pid | told.pid), ("PV1", pv1)]
    for place, fields in enumerate(told.charges, 1):
        line = {
            1: str(place), 2: f"T{name}-{place}", 4: f"{told.on:%Y%m%d}", 6: "CG", 7: "CDM^^CDM", 10: "1",
            11: "150.00^USD", 13: told.department, 19: "E11.9^^I10C", 20: doctor, 25: "99213^^C4",
        }  # fmt: skip
        charged.append(("FT1", line | fields))
    kind = "ADT^A03" if stays else "ADT^A04"
    said = [(kind, f"A{name}", registered), ("DFT^P03", f"D{name}", charged)]
    if told.note:
        said.append(
            ("MDM^T02", f"N{name}", [("PID", pid), ("TXA", {1: "1", 2: "PN", 12: f"NOTE{name}", 17: told.note})])
        )
    return [(kind, _message(kind, control, segments)) for kind, control, segments in said]


def _message(kind: str, control: str, segments: list[Segment]) -> bytes:
    header: Fields = {2: "^~\\&", 3: "ALDER_EHR", 4: "ALDER", 5: "CLAIMHUB", 6: "HUB", 7: "202611100900-0600", 9: kind}
    return write([("MSH", header | {10: control, 11: "T", 12: "2.5.1", 18: "UNICODE UTF-8"}), *segments])


def month_config(config: BillingConfig) -> BillingConfig:
    """The demo site's files with eight providers and twelve payers, and with claims that go at once."""
    providers = tuple(Provider(npi=npi, taxonomy="207Q00000X", family="EXAMPLAR", given="ROBIN") for npi in NPIS)
    practice = config.practice.model_copy(update={"providers": providers, "clia": "14D0000001"})
    payers = {name: PAYER.model_copy(update={"payer_id": name, "roster": NPIS}) for name in PAYERS}
    policy = config.policy.model_copy(update={"bill_hold": 0.0})
    return replace(config, practice=practice, payers=payers, policy=policy, fees={}, site_rules=())


def write_tables(folder: Path) -> Iterable[tuple[str, Path]]:
    """Reference data as files, each in a layout of its publisher."""
    for kind, entries in EVERYTHING.items():
        path = folder / f"{kind}.txt"
        with path.open("w", newline="") as file:
            out = csv.writer(file)
            if kind == "ncci":
                out.writerows([e.code, e.second, "", "20200101", "*", e.facts["indicator"]] for e in entries)
            elif kind == "mue":
                out.writerows([e.code, e.facts["units"], f"{e.facts['indicator']} said"] for e in entries)
            elif kind == "npi":
                out.writerow(["NPI", "Entity Type Code", "NPI Deactivation Date", "NPI Reactivation Date"])
                out.writerows([e.code, e.facts["entity"], e.ends, ""] for e in entries)
            else:
                names = sorted({name for entry in entries for name in entry.facts})
                pair = KINDS[kind].pairs
                out.writerow([*(("first", "second") if pair else ("code",)), "effective", "ends", *names])
                for e in entries:
                    codes = (e.code, e.second) if pair else (e.code,)
                    out.writerow([*codes, e.effective, e.ends, *(e.facts.get(name, "") for name in names)])
        yield kind, path


def practice(**fields: Any) -> Change:
    return lambda config: replace(config, practice=config.practice.model_copy(update=fields))


def payers(**fields: Any) -> Change:
    return lambda config: replace(
        config, payers={name: payer.model_copy(update=fields) for name, payer in config.payers.items()}
    )


def department(code: str, **fields: Any) -> Change:
    def change(config: BillingConfig) -> BillingConfig:
        found = tuple(
            each.model_copy(update=fields) if each.code == code else each for each in config.practice.departments
        )
        return practice(departments=found)(config)

    return change


def all_of(*changes: Change) -> Change:
    def change(config: BillingConfig) -> BillingConfig:
        for each in changes:
            config = each(config)
        return config

    return change


def code(procedure: str, *modifiers: str, **fields: str) -> Fields:
    """An FT1 of that procedure; further fields by ``f10="2"``."""
    said = {25: f"{procedure}^^C4", 26: "~".join(modifiers)}
    return said | {int(name[1:]): value for name, value in fields.items()}


def address(**fields: str) -> PostalAddress:
    usual = {"line": "214 ALDER STREET", "city": "SPRINGFIELD", "state": "IL", "postal_code": "627014410"}
    return PostalAddress(**{**usual, **fields})


def place(**fields: str) -> Change:
    """Family medicine in a place of its own, at that address."""
    facility = Facility(code="SAT", name="Example Branch", address=address(**fields))
    return all_of(practice(facilities=(facility,)), department("FM", facility="SAT"))


OUTSIDER = "^QUILLFEATHER^ANSEL^^^^^^NPI^^^^NPI"
LAB = code("83036", "QW")
DRAW = code("36415")
MAMMOGRAM = code("77067")
MAMMOGRAPHY = {14: "A100"}
EARLIER = TODAY - 60 * DAY
WARD_LINE: Fields = {7: "CDM^^CDM^0120^^REV", 10: "2", 25: ""}
DG1 = "DG1"


def stay(diagnoses: str = "E11.9", present: str = "Y", admitting: str = "E11.9", **said: Any) -> Told:
    """Two days on the ward, long enough ago to have ended."""
    more: list[Segment] = [(DG1, {1: "1", 3: f"{diagnoses}^^I10C", 6: "F"})]
    more += [("ZDG", {1: present})] if present else []
    more += [(DG1, {1: "2", 3: f"{admitting}^^I10C", 6: "A"})] if admitting else []
    more += said.pop("procedures", [])
    more.append(("UB2", said.pop("ub2", {1: "1", 3: "17", 6: "80^2.00"})))
    usual: dict[str, Any] = {"department": "WARD", "on": TODAY - 5 * DAY, "charges": (WARD_LINE,)}
    return Told(more=tuple(more), **{**usual, **said})


def outpatient(reason: str = "E11.9", **said: Any) -> Told:
    """An unscheduled visit to the hospital."""
    more: list[Segment] = [(DG1, {1: "1", 3: "E11.9^^I10C", 6: "F"})]
    more += [(DG1, {1: "2", 3: f"{reason}^^I10C", 6: "W"})] if reason else []
    more.append(("UB2", {1: "1", 3: "17"}))
    pv1 = {4: "1", 14: "1", 36: "01", **said.pop("pv1", {})}
    usual: dict[str, Any] = {"department": "HOP", "charges": ({7: "CDM^^CDM^0450^^REV"},)}
    return Told(more=tuple(more), pv1=pv1, **{**usual, **said})


def operation(on: date) -> list[Segment]:
    doctor = f"{NPIS[1]}^EXAMPLAR^ROBIN^^^^^^NPI^^^^NPI"
    return [("PR1", {1: "1", 3: "0DTJ4ZZ^^I10P", 5: f"{on:%Y%m%d}", 11: doctor})]


WRONG: dict[str, Told] = {
    "ID-01": Told(site=practice(npi="1999000016")),
    "ID-02": Told(pv1={8: f"1999000222{OUTSIDER}"}),
    "ID-03": Told(pv1={8: f"{GONE}{OUTSIDER}"}),
    "ID-04": Told(site=payers(roster=("1999000999",))),
    "ID-05": Told(site=practice(tax_id="000000000")),
    "ID-06": Told(site=practice(address=address(line="PO BOX 12"))),
    "ID-07": Told(site=place(line="9 HILL ROAD", postal_code="62702")),
    "ID-08": Told(pid={11: "42 ELM AVE^^SPRINGFIELD^WI^62702^USA^H"}),
    "ID-09": Told(site=practice(taxonomy="999Q00000X")),
    "ID-10": Told(site=place()),
    "ID-12": Told(charges=(code("92557"),)),
    "ID-13": Told(charges=(code("80061"),)),
    "ID-14": Told(payer=UNLISTED),
    "ID-15": Told(in1={36: "X1"}),
    "ID-16": Told(in1={36: "W-123-456-789"}),
    "ID-17": Told(pid={5: "EXAMPLAR JR^WREN"}),
    "ID-18": Told(pid={7: ""}),
    "ID-20": Told(pid={11: ""}),
    "ID-23": Told(in1={29: f"{TODAY:%Y%m%d}", 45: "I"}),
    "ID-25": Told(site=payers(claim_filing="XX")),
    "ID-27": Told(site=payers(needs_group=True)),
    "ID-28": Told(more=(("IN1", {1: "2", 3: "90002^^^PAYER", 4: "OTHER", 17: "SEL", 22: "2", 36: "W987654321"}),)),
    "CL-03": Told(charges=({11: "0.00^USD"},)),
    "CL-04": Told(department="UCC"),
    "CL-08": Told(more=(("ACC", {1: f"{TODAY:%Y%m%d}", 2: "A^AUTO"}),)),
    "CL-09": Told(on=TODAY + DAY),
    "CL-10": Told(pid={7: f"{TODAY:%Y%m%d}"}, on=TODAY - DAY),
    "CL-11": Told(site=payers(timely_filing_days=2), on=TODAY - 5 * DAY),
    "CL-13": Told(department="WARD", pv1={2: "O", 44: ""}, site=department("WARD", bills="837P")),
    "CL-14": Told(charges=(MAMMOGRAM,)),
    "CL-15": Told(site=payers(needs_referral=True)),
    "CL-16": Told(in1={14: "A100,A101"}),
    "CL-17": Told(in1={27: "N"}),
    "CL-20": Told(charges=({4: "20251231^20260102"},), site=payers(timely_filing_days=500)),
    "CL-22": Told(pid={5: f"{'E' * 61}^WREN"}),
    "CL-23": Told(charges=(code("20610"),), site=payers(requires_documentation=("20610",))),
    "CL-25": Told(department="TEL"),
    "CL-27": Told(note="DO"),
    "CL-28": Told(on=TODAY - 40 * DAY),
    "DX-01": Told(charges=({19: ""},)),
    "DX-03": Told(charges=({19: "E99.99^^I10C"},)),
    "DX-04": Told(charges=({19: "E11^^I10C"},)),
    "DX-06": Told(charges=({19: "F02.80^^I10C"},)),
    "DX-07": Told(charges=({19: "N40.0^^I10C"},)),
    "DX-08": Told(charges=({19: "E11.9^^I10C~Z00.00^^I10C"},)),
    "DX-09": Told(charges=({}, code("17000", f19=""))),
    "DX-10": Told(charges=({**LAB, 19: "I10^^I10C"}, DRAW)),
    "LN-01": Told(charges=(code("99999"),)),
    "LN-02": Told(charges=(code("99213", "ZZ"),)),
    "LN-03": Told(charges=(code("17110"), DRAW)),
    "LN-04": Told(charges=({**LAB, 10: "2"}, DRAW)),
    "LN-05": Told(charges=(code("17000", f10="1.5"),)),
    "LN-06": Told(site=lambda config: replace(config, fees={"99213": Decimal("140.00")})),
    "LN-07": Told(charges=(code("17999"),), site=payers(requires_documentation=())),
    "LN-08": Told(charges=(code("17110", "50"),)),
    "LN-09": Told(charges=(code("93010", "26"),)),
    "LN-10": Told(charges=({}, code("17110"))),
    "LN-11": Told(charges=(code("99203"),), before=Told(on=EARLIER)),
    "LN-12": Told(charges=(LAB, DRAW), site=practice(clia="")),
    "LN-13": Told(charges=(code("J1885"),)),
    "LN-14": Told(charges=(code("J1885", f29="00409-3795-01"),), site=payers(claim_filing="MB")),
    "LN-15": Told(charges=(code("97110"),)),
    "LN-16": Told(charges=(code("00400"),)),
    "LN-17": Told(charges=(MAMMOGRAM,), pid={8: "M"}, in1=MAMMOGRAPHY),
    "LN-18": Told(
        charges=(MAMMOGRAM,), in1=MAMMOGRAPHY, before=Told(charges=(MAMMOGRAM,), in1=MAMMOGRAPHY, on=EARLIER)
    ),
    "LN-19": Told(charges=(code("17003"),)),
    "LN-20": Told(charges=({4: f"{TODAY:%Y%m%d}^{TODAY - DAY:%Y%m%d}"},)),
    "LN-22": Told(charges=(code("17110", "80"),)),
    "LN-23": Told(charges=(code("90686"),)),
    "LN-24": Told(charges=(code("99395"), {})),
    "LN-25": Told(charges=(code("99213", "GA", f27="4"),)),
    "LN-26": Told(charges=(LAB,)),
    "IN-01": outpatient(site=department("HOP", type_of_bill="18")),
    "IN-02": outpatient(charges=({7: "CDM^^CDM^0450^^REV", 25: ""},)),
    "IN-03": stay(pv1={36: "30"}),
    "IN-05": outpatient(reason=""),
    "IN-06": stay(present=""),
    "IN-07": stay(ub2={1: "1", 3: "17~17", 6: "80^2.00"}),
    "IN-08": stay(ub2={1: "1", 3: "17", 6: "80^5.00"}),
    "IN-09": stay(procedures=operation(TODAY - 30 * DAY)),
    "IN-10": stay(pv1={7: ""}),
    "IN-11": outpatient(on=TODAY - 6 * DAY, before=stay()),
}
"""What the EHR or the site's files say wrongly, by the edit that must find it."""

EARLIER_STILL: dict[str, tuple[Told, str]] = {
    "ID-11": (Told(charges=({20: "^NEWCOMER^SAL"},)), "charge review"),
    "CL-18": (Told(before=Told()), "charge review"),
    "CL-19": (Told(charges=tuple(code(each) for each in MANY)), ""),
}
"""What never gets as far as the edit: a charge waits in the queue, or (CL-19) the claim is parted."""

CLEAN = {
    **{f"VISIT{number}": Told(on=TODAY - (number % 28) * DAY) for number in range(24)},
    **{f"STAY{number}": stay(on=TODAY - (number + 3) * DAY) for number in range(4)},
    **{f"HOP{number}": outpatient() for number in range(4)},
}

BY_DESIGN = {
    "ID-19": "mapping gives U where the EHR says nothing",
    "ID-21": "made of the coverage, never written otherwise",
    "ID-22": "a payer's answer: tests/billing/test_eligibility.py",
    "CL-26": "a payer's answer: tests/billing/test_eligibility.py",
    "CL-01": "the hub's own numbers",
    "CL-02": "the hub's own sum",
    "CL-05": "a release is refused before",
    "CL-06": "a release takes the latest",
    "CL-07": "no replacement is made for such a payer",
    "CL-12": "no source says why a claim is late",
    "CL-21": "made right where the claim is made",
    "CL-24": "no source says what the patient paid",
    "DX-02": "made right where the claim is made",
    "DX-05": "made right by mapping",
    "LN-21": "the hub's own numbers",
    "IN-04": "a discharge hour is kept for ended stays only",
    **dict.fromkeys(
        ("ID-24", "ID-26", "CB-01", "CB-02", "CB-03", "CB-04", "CB-05", "CB-06", "CB-07", "CB-08", "CB-09"),
        "claims to a further payer: tests/billing/test_next_payer.py",
    ),
}
"""The edits that nothing the EHR says can provoke, and why; ``test_month.py`` plants them in the claims themselves."""
