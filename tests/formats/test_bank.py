from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from hub.formats.bank import BankFileError, read_bank_file

TRN = "TRN*1*EFT1*1999999999~"


def test_an_export_may_name_its_columns_as_banks_do_and_hold_other_entries() -> None:
    text = f'\ufeffPosted Date,Credit Amount,Details\n11/20/26,"$1,234.50",PAYER {TRN}\n11/21/26,-5.00,FEE\n\n'
    file = read_bank_file(text)
    (entry,) = file.entries
    assert (entry.trace, entry.originator, entry.amount) == ("EFT1", "1999999999", Decimal("1234.50"))
    assert (entry.on, file.others) == (date(2026, 11, 20), 1)


def test_a_claim_payment_without_its_addenda_is_kept_without_a_number() -> None:
    (entry,) = read_bank_file("date,amount,memo\n2026-11-20,7.00,CEDAR HCCLAIMPMT\n").entries
    assert (entry.trace, entry.amount) == ("", Decimal("7.00"))


def test_a_bai2_debit_is_negative() -> None:
    text = f"01,B,C,261120,0900,1/\n02,C,B,1,261120,0900,USD,2/\n16,455,250,Z,R,,{TRN}/\n"
    (entry,) = read_bank_file(text).entries
    assert entry.amount == Decimal("-2.50")


def test_a_nacha_file_without_line_ends_is_read_by_its_length() -> None:
    records = (
        "101 071000013 999999999",
        f"5220{'CEDAR MUTUAL':<16}{'':20}1999999999CCDHCCLAIMPMT261120261121   1071000010000001",
        f"622071000013{'987654':<17}0000010000{'ID':<15}{'CLINIC':<22}  1071000010000001",
        f"705{TRN:<80}00010000001",
    )
    (entry,) = read_bank_file("".join(record.ljust(94) for record in records)).entries
    assert (entry.trace, entry.amount, entry.on) == ("EFT1", Decimal("100.00"), date(2026, 11, 21))
    assert entry.company == "CEDAR MUTUAL"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("date,amount,memo\n2026-11-20,many,x", "line 2"),
        ("date,amount,memo\nyesterday,1.00,x", "line 2"),
        ("date,amount,memo\n2026-11-20", "line 2"),
        ("01,B/\n16,142,1,Z,,,x/", "line 2"),
        ("no,such,columns\n1,2,3", ""),
    ],
)
def test_a_file_that_cannot_be_read_says_where(text: str, where: str) -> None:
    with pytest.raises(BankFileError) as caught:
        read_bank_file(text)
    assert caught.value.where == where
