from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from hub.site.load import load_site


def test_what_payers_contracts_allow_is_read_by_payer_and_code(copied: Path) -> None:
    (copied / "config/contracts.csv").write_text("payer,code,allowed\n90001,99213,105.00\n90003,99213,98.5\n")
    site = load_site(copied)
    assert site.errors == ()
    assert site.billing is not None
    assert site.billing.contracts == {
        ("90001", "99213"): Decimal("105.00"),
        ("90003", "99213"): Decimal("98.50"),
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("payer,code\n90001,99213\n", 1),
        ("payer,code,allowed\n90001,99213,much\n", 2),
        ("payer,code,allowed\n90001,99213,1\n90001,99213,2\n", 3),
    ],
)
def test_a_table_of_contracts_that_is_wrong_is_found_with_its_line(copied: Path, text: str, line: int) -> None:
    (copied / "config/contracts.csv").write_text(text)
    (found,) = load_site(copied).errors
    assert (found.code, found.file, found.line) == ("H507", "config/contracts.csv", line)
