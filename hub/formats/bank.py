"""What a bank tells of payers' deposits: NACHA files with CCD+ addenda, BAI2 reports, and exports as CSV.

All three carry the payer's TRN segment in free text (CAQH CORE rule 370: ``TRN*1*payment number*payer``), which is what
ties a deposit to its 835. Entries that are no health care claim payments are left out: a bank account has others.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from hub.core.errors import HubError
from hub.core.money import MoneyError, money

_TRN = re.compile(r"TRN\*1\*([^*~\\/\s]+)(?:\*([0-9A-Za-z]+))?")
_CLAIM_PAYMENT = "HCCLAIMPMT"
_RECORD = 94
_DEBITS = {"27", "37", "47"}


class BankFileError(HubError):
    """A bank's file cannot be read."""

    code = "H560"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankEntry:
    """One deposit, or with a negative *amount* a debit. *trace* is TRN02 and *originator* TRN03 or the company's id."""

    trace: str
    originator: str
    amount: Decimal
    on: date
    company: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankFile:
    """What a file holds: the *entries* that are claim payments, and how many *others* there are."""

    entries: tuple[BankEntry, ...]
    others: int


def read_bank_file(text: str) -> BankFile:
    """Read *text*, whichever of the three it is. Raises :class:`BankFileError` with the line at fault."""
    content = text.lstrip("\ufeff").strip("\r\n")
    if content.startswith("101"):
        found = _nacha(content)
    elif content.startswith("01,"):
        found = _bai2(content)
    else:
        found = _export(content)
    entries: list[BankEntry] = []
    others = 0
    for entry in found:
        trn = _TRN.search(entry.text)
        if trn is not None:
            entries.append(replace(entry, trace=trn[1][:50], originator=(trn[2] or entry.originator)[:32]))
        elif _CLAIM_PAYMENT in entry.text.upper():
            entries.append(entry)
        else:
            others += 1
    return BankFile(entries=tuple(entries), others=others)


def _nacha(content: str) -> Iterator[BankEntry]:
    """NACHA operating rules, appendix three: batch header 5, entry detail 6, addenda 7; records of 94 characters."""
    records = content.splitlines()
    if len(records) == 1:
        records = [content[at : at + _RECORD] for at in range(0, len(content), _RECORD)]
    company = identity = description = ""
    on: date | None = None
    entry: BankEntry | None = None
    for number, record in enumerate(records, start=1):
        if record[:1] == "7" and entry is not None:
            entry = replace(entry, text=f"{entry.text}{record[3:83]}")
            continue
        if entry is not None:
            yield entry
            entry = None
        match record[:1]:
            case "5":
                company, identity, description = record[4:20].strip(), record[40:50].strip(), record[53:63].strip()
                on = _day(record[69:75], number)
            case "6":
                if on is None or not record[29:39].isdecimal():
                    raise BankFileError("An entry has no amount or belongs to no batch.", where=f"line {number}")
                amount = Decimal(record[29:39]).scaleb(-2)
                if record[1:3] in _DEBITS:
                    amount = -amount
                text = f"{description} "
                entry = BankEntry(trace="", originator=identity, amount=amount, on=on, company=company, text=text)
    if entry is not None:
        yield entry


def _bai2(content: str) -> Iterator[BankEntry]:
    """BAI2 (ANSI X9.121): group header 02, transaction 16, continuation 88."""
    on: date | None = None
    entry: BankEntry | None = None
    for number, line in enumerate(content.splitlines(), start=1):
        code, _, rest = line.strip().partition(",")
        if code == "88" and entry is not None:
            entry = replace(entry, text=f"{entry.text} {rest.rstrip('/')}")
            continue
        if entry is not None:
            yield entry
            entry = None
        fields = rest.rstrip("/").split(",")
        if code == "02":
            on = _day(fields[3] if len(fields) > 3 else "", number)
        elif code == "16":
            if on is None or len(fields) < 3 or not fields[1].isdecimal():
                raise BankFileError("A transaction has no amount or belongs to no group.", where=f"line {number}")
            amount = Decimal(fields[1]).scaleb(-2)
            if fields[0].isdecimal() and 400 <= int(fields[0]) < 700:
                amount = -amount
            entry = BankEntry(trace="", originator="", amount=amount, on=on, text=",".join(fields[3:]))
    if entry is not None:
        yield entry


def _export(content: str) -> Iterator[BankEntry]:
    """A CSV with a heading that names a date, an amount and a description."""
    rows = csv.reader(io.StringIO(content))
    heading = [each.strip().lower() for each in next(rows, [])]

    def column(*words: str) -> int | None:
        return next((at for at, name in enumerate(heading) if any(word in name for word in words)), None)

    day, amount, text = column("date"), column("amount", "credit"), column("description", "detail", "memo", "addenda")
    if day is None or amount is None or text is None:
        raise BankFileError(
            "This is no bank file that can be read.",
            expected="NACHA, BAI2, or CSV with a date, an amount and a description",
            found="none of these headings" if heading else "an empty file",
        )
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if len(row) <= max(day, amount, text):
            raise BankFileError("A row has too few columns.", where=f"line {number}")
        try:
            cents = money(row[amount].replace("$", "").replace(",", "").strip())
        except MoneyError:
            raise BankFileError("An amount cannot be read.", where=f"line {number}") from None
        yield BankEntry(trace="", originator="", amount=cents, on=_day(row[day], number), text=row[text])


def _day(text: str, number: int) -> date:
    for form in ("%y%m%d", "%Y-%m-%d", "%m/%d/%Y", "%Y%m%d", "%m/%d/%y"):
        try:
            return datetime.strptime(text.strip(), form).date()  # noqa: DTZ007 - a calendar day has no zone
        except ValueError:
            continue
    raise BankFileError("A date cannot be read.", where=f"line {number}")
