"""The kinds of reference data: what each file holds, and how its publisher lays it out.

Numbers and logic only. Descriptions are not kept: many are licensed, and no edit needs them. The one exception is the
text of adjustment and remark codes, which a practice that has a licence may load for its pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, zip_longest

from hub.billing.refdata.errors import BadFileError
from hub.billing.refdata.tables import Table, read_table

_SERVICE = re.compile(r"[0-9A-Z][0-9A-Z]{3}[0-9A-Z]")
_OPEN_END = {"", "*", "00000000", "99999999"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One code, or one pair of codes when *second* is given, and what is known of it.

    *effective* and *ends* are the first and the last date of service, ISO text; empty: those of the whole set.
    """

    code: str
    second: str = ""
    effective: str = ""
    ends: str = ""
    facts: dict[str, str] = field(default_factory=dict)


Reader = Callable[[Iterable[str]], Iterator[Entry]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of reference data. *source* says who publishes it and in which layouts it is read."""

    name: str
    title: str
    source: str
    read: Reader
    pairs: bool = False


def day(text: str) -> str:
    """A date as publishers write it (20260101, 01/31/2026, 2026-01-31) in ISO form; empty for *no date*."""
    text = text.strip()
    if text in _OPEN_END:
        return ""
    for layout in ("%Y%m%d", "%m/%d/%Y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, layout).date().isoformat()  # noqa: DTZ007  a calendar day has no zone
        except ValueError:
            continue
    raise BadFileError("A date of the file cannot be read.", expected="YYYYMMDD, MM/DD/YYYY or YYYY-MM-DD", found=text)


def _icd10(lines: Iterable[str]) -> Iterator[Entry]:
    """Diagnoses, in one of three layouts.

    The order file of CDC and CMS (fixed width; column 15 says whether a code is valid for a claim), their codes file
    (valid codes only), or a table with ``code`` and, where not every code is valid for a claim, ``billable``.
    """
    first, lines = _peek(lines)
    if re.match(r"\d{5} [A-Z][0-9][0-9A-Z]{1,5} +[01] ", first):
        for line in lines:
            yield Entry(line[6:13].strip(), facts={"billable": line[14]})
    elif re.match(r"[A-Z][0-9][0-9A-Z]{1,5} +\S", first) and "," not in first[:8]:
        for line in lines:
            if line.strip():
                yield Entry(line[:7].strip(), facts={"billable": "1"})
    else:
        table = read_table(lines, need=("code",))
        for row in table:
            facts = {name: row[name] for name in table.names if name in _ICD_FACTS and row[name]}
            code = (row.get("code_nodot") or row["code"]).replace(".", "").upper()
            yield Entry(code, facts={"billable": "1", **facts})


def _pcs(lines: Iterable[str]) -> Iterator[Entry]:
    """Inpatient procedures: CMS's order file (fixed width; column 15 says whether a code is whole), or a table."""
    first, lines = _peek(lines)
    if re.match(r"\d{5} [0-9A-Z]{3,7} +[01] ", first):
        for line in lines:
            if line[14:15] == "1":
                yield Entry(line[6:13].strip())
    else:
        yield from _codes(lines)


_ICD_FACTS = {"billable", "not_principal", "sex", "age_from", "age_to"}


def _hcpcs(lines: Iterable[str]) -> Iterator[Entry]:
    """CMS's alpha-numeric file: 320 columns (code at 1, added at 269, ended at 285), or a table with ``HCPC``."""
    first, lines = _peek(lines)
    if len(first.rstrip("\r\n")) >= 292 and _SERVICE.match(first):
        for line in lines:
            if line[5:10].strip() in {"", "00100"} or line[10] in {"3", "7"}:  # the first line of a code or modifier
                yield Entry(line[:5].strip(), effective=day(line[268:276]), ends=day(line[284:292]))
    else:
        yield from _codes(lines)


def _codes(lines: Iterable[str]) -> Iterator[Entry]:
    """A table with one code in each row, and any facts beside it."""
    table = read_table(lines, need=("code",))
    for row in table:
        facts = {name: row[name] for name in table.names if name not in _NOT_FACTS and row[name]}
        yield Entry(
            row["code"].strip().upper(),
            effective=day(row.get("effective", "")),
            ends=day(row.get("ends", "")),
            facts=facts,
        )


_NOT_FACTS = {"code", "effective", "ends", "description", "short_description", "long_description", "text"}


def _texts(lines: Iterable[str]) -> Iterator[Entry]:
    """A table with a code and the text that the practice has a licence for, which is kept as ``text``."""
    table = read_table(lines, need=("code",))
    for row in table:
        facts = {"text": row.get("text") or row.get("description", "")}
        effective, ends = day(row.get("effective", "")), day(row.get("ends", ""))
        yield Entry(row["code"].strip().upper(), "", effective, ends, facts if facts["text"] else {})


def _pairs(lines: Iterable[str]) -> Iterator[Entry]:
    """A table with ``first`` and ``second`` in each row."""
    table = read_table(lines, need=("first", "second"))
    for row in table:
        facts = {name: row[name] for name in table.names if name not in {"first", "second", "effective", "ends"}}
        effective, ends = day(row.get("effective", "")), day(row.get("ends", ""))
        yield Entry(row["first"].upper(), row["second"].upper(), effective, ends, facts)


def _ncci(lines: Iterable[str]) -> Iterator[Entry]:
    """CMS's procedure-to-procedure file, text with tabs or CSV, after any number of heading lines.

    Columns: 1 the code that is paid, 2 the code that is part of it, 3 (before 1996), 4 effective, 5 deleted (``*``:
    not), 6 modifier indicator (0 never, 1 with a modifier, 9 no longer).
    """
    for cells in Table.cells(lines):
        if len(cells) >= 6 and _SERVICE.fullmatch(cells[0]) and _SERVICE.fullmatch(cells[1]):
            yield Entry(cells[0], cells[1], day(cells[3]), day(cells[4]), {"indicator": cells[5][:1]})


def _mue(lines: Iterable[str]) -> Iterator[Entry]:
    """CMS's medically unlikely edits, text or CSV: code, units, adjudication indicator (``2 Date of ...``)."""
    for cells in Table.cells(lines):
        if len(cells) >= 3 and _SERVICE.fullmatch(cells[0]) and cells[1].isdecimal():
            yield Entry(cells[0], facts={"units": cells[1], "indicator": cells[2][:1]})


def _mpfs(lines: Iterable[str]) -> Iterator[Entry]:
    """CMS's relative value file (PPRRVU) as CSV, or a table with names of our own.

    The headings of CMS's file stand in two lines, one above the other (``GLOB`` and ``DAYS``), below any number of
    notices. Rows of a part of a service (modifier 26, TC, 53) say nothing that the row of the whole does not.
    """
    iterator, before = iter(lines), list[str]()
    for line in iterator:
        before.append(line)
        names = next(Table.cells([line]), [])
        if [name.upper() for name in names[:2]] == ["HCPCS", "MOD"]:
            above = next(Table.cells(before[-2:-1]), [])
            yield from _relative_values(_joined(above, names), Table.cells(iterator))
            return
        if len(before) > _MOST_NOTICES:
            break
    yield from _codes(chain(before, iterator))


_INDICATORS = {
    "PCTC IND": "pctc",
    "GLOB DAYS": "global_days",
    "BILAT SURG": "bilateral",
    "ASST SURG": "assistant",
    "CO- SURG": "co_surgeon",
}
_MOST_NOTICES = 40  # lines before the headings


def _joined(above: Sequence[str], below: Sequence[str]) -> dict[str, int]:
    """The place of each indicator's column, whose heading stands in one line or in two. Raises `BadFileError`."""
    whole = [" ".join(f"{first} {second}".upper().split()) for first, second in zip_longest(above, below, fillvalue="")]
    places = {fact: whole.index(name) for name, fact in _INDICATORS.items() if name in whole}
    if "global_days" not in places:
        raise BadFileError("The file has no column of global days.", expected=", ".join(_INDICATORS))
    return places


def _relative_values(places: dict[str, int], rows: Iterable[list[str]]) -> Iterator[Entry]:
    for cells in rows:
        if len(cells) > max(places.values()) and _SERVICE.fullmatch(cells[0]) and not cells[1]:
            yield Entry(cells[0], facts={fact: cells[place] for fact, place in places.items() if cells[place]})


def _npi(lines: Iterable[str]) -> Iterator[Entry]:
    """The NPPES dissemination file of CMS: NPI, entity type, and when it was deactivated and reactivated."""
    table = read_table(lines, need=("npi", "entity_type_code"))
    for row in table:
        gone, back = day(row.get("npi_deactivation_date", "")), day(row.get("npi_reactivation_date", ""))
        ends = gone if gone and (not back or back < gone) else ""
        yield Entry(row["npi"], ends=ends, facts={"entity": row["entity_type_code"]})


def _peek(lines: Iterable[str]) -> tuple[str, Iterator[str]]:
    """The first line that is not blank, and all lines from it on."""
    iterator = iter(lines)
    first = next((line for line in iterator if line.strip()), "")

    def again() -> Iterator[str]:
        yield first
        yield from iterator

    return first, again()


_CMS, _OWN = "CMS", "a table with one row for each code"
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("icd10", "ICD-10-CM diagnoses", "CDC and CMS: order file, codes file, or a table", _icd10),
        Kind("hcpcs", "HCPCS Level II codes", "CMS: alpha-numeric file of 320 columns, or a table", _hcpcs),
        Kind("cpt", "CPT codes, which the practice has a licence for", "AMA: a table with the column code", _codes),
        Kind("modifiers", "Modifiers, HCPCS and CPT", _OWN, _codes),
        Kind("pos", "Places of service", f"{_CMS}: a table", _codes),
        Kind("ncci", "Procedure-to-procedure pairs, practitioners", f"{_CMS}, quarterly", _ncci, pairs=True),
        Kind("mue", "Medically unlikely units, practitioners", f"{_CMS}, quarterly", _mue),
        *(
            Kind(f"{name}_{which}", f"{title} of {whom}", f"{_CMS}, quarterly", read, pairs=name == "ncci")
            for name, title, read in (("ncci", "Procedure-to-procedure pairs", _ncci), ("mue", "Unlikely units", _mue))
            for which, whom in (
                ("outpatient", "hospitals' outpatients"),
                ("medicaid", "Medicaid, practitioners"),
                ("medicaid_outpatient", "Medicaid, hospitals' outpatients"),
            )
        ),
        Kind("mpfs", "Physician fee schedule indicators", f"{_CMS}: relative value file (PPRRVU), or a table", _mpfs),
        Kind("npi", "Providers", f"{_CMS}: NPPES dissemination file", _npi),
        Kind("zip", "ZIP codes with their state", "a table: code, state", _codes),
        Kind("taxonomy", "Provider taxonomy codes", "NUCC: a table with the column code", _codes),
        Kind("carc", "Claim adjustment reason codes", "X12, which the practice has a licence for", _texts),
        Kind("rarc", "Remittance advice remark codes", "X12, which the practice has a licence for", _texts),
        Kind("payers", "Payers that the receiver takes claims for", f"the clearinghouse: {_OWN}", _codes),
        Kind("excludes1", "Diagnoses that exclude each other", "CDC tabular list: first, second", _pairs, pairs=True),
        Kind("coverage", "Procedures and the diagnoses that cover them", f"{_CMS}: first, second", _pairs, pairs=True),
        Kind("addon", "Add-on codes and their primaries", f"{_CMS}: first, second", _pairs, pairs=True),
        Kind("usual", "Procedures that usually go together", "the practice's own: first, second", _pairs, pairs=True),
        Kind("clia", "Laboratory codes", f"{_CMS}: code, waived (1 when modifier QW is needed)", _codes),
        Kind("ndc", "Drugs", "FDA: a table with the column code, eleven digits", _codes),
        Kind("limits", "Sex and age limits of procedures", "a table: code, sex, age_from, age_to", _codes),
        Kind("frequency", "How often a procedure is covered", "a table: code, days", _codes),
        Kind("unlisted", "Codes that need a description", _OWN, _codes),
        Kind("referring", "Codes that need a referring provider", _OWN, _codes),
        Kind("ordering", "Codes that need an ordering provider", _OWN, _codes),
        Kind("single_dose", "Drugs in single-dose containers", f"{_CMS}: {_OWN}", _codes),
        Kind("therapy", "Therapy codes", f"{_CMS}: {_OWN}", _codes),
        Kind("type_of_bill", "Types of bill, three digits", "NUBC, which the practice has a licence for", _codes),
        Kind("revenue", "Revenue codes; needs_code 1: wants a procedure", "NUBC, or CMS's outpatient editor", _codes),
        Kind("condition", "Condition codes", "NUBC, which the practice has a licence for", _codes),
        Kind("occurrence", "Occurrence and occurrence span codes", "NUBC, as licensed", _codes),
        Kind("value", "Value codes", "NUBC, which the practice has a licence for", _codes),
        Kind("pcs", "ICD-10-PCS procedures", f"{_CMS}: a table, or the order file", _pcs),
        Kind("poa_exempt", "Diagnoses without present-on-admission indicator", f"{_CMS}, yearly: {_OWN}", _codes),
        Kind("fixable", "Denials that the first payer can correct", _OWN, _codes),
    )
}
"""Every kind by its name on the command line."""
