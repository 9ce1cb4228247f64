from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from hub.cli.main import main
from hub.store import tables
from tests.cli.at_work import Kept, engine_that_answers

GOOD = {"ok": True, "answer": {"ok": True, "state": "posted"}}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A site with a payment that waits and a rule that was proposed."""
    made = Kept(tmp_path / "site")
    about: dict[str, Any] = {"claims_cents": 7000, "provider_cents": 0, "created_business_at": 0, "body": b""}
    rows = {
        tables.remittance: {
            "id": 5, "organisation": "clinic", "partition": 0, "fence": 0, "message_id": 5, "ordinal": 1,
            "content_digest": b"d", "trace": "EFT9", "payer_id": "90001", "payer_name": "Example", "amount_cents": 7000,
            "method": "ACH", "paid_on": "2026-11-20", "claims": 1, "state": "posted", "version": 1, **about,
        },
        tables.remittance_claim: {
            "id": 7, "remittance_id": 5, "ordinal": 1, "control_number": "XH1", "status": "1", "charge_cents": 9000,
            "paid_cents": 7000, "patient_cents": 0, "state": "unmatched", "body": b"", "version": 3,
        },
        tables.number_rule: {
            "id": 8, "payer_id": "90001", "place": "prefix", "text": "X", "state": "proposed", "proposed_by": "ann",
            "version": 2,
        },
    }  # fmt: skip
    with made.store.connect().execution_options(writes=True) as connection, connection.begin():
        for table, row in rows.items():
            connection.execute(insert(table), row)
    return made


def asked(kept: Kept, words: Sequence[str]) -> dict[str, Any]:
    """What billing is told by a command of these *words*."""
    with engine_that_answers(kept.folder, GOOD) as requests:
        assert main(_words(kept, words)) == 0
    return dict(requests[0]["args"])


def _words(kept: Kept, words: Sequence[str]) -> list[str]:
    return ["payments", "--site", str(kept.folder), *words]


def test_payments_that_wait_and_those_of_a_check_are_listed_with_their_ids(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["waiting"], ["list", "EFT9"]):
        assert main(["payments", "--json", "--site", str(kept.folder), *words]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["id"], row["their_number"], row["paid"], row["state"]) == (7, "XH1", "70.00", "unmatched")
    assert main(_words(kept, ["list", "EFT1"])) == 0
    assert capsys.readouterr().out == "Nothing.\n"


@pytest.mark.parametrize(
    ("words", "name", "args"),
    [
        (["unmatch", "7", "--reason", "x"], "unmatch_payment", {"remittance_claim_id": 7, "version": 3, "reason": "x"}),
        (["use-rule", "8"], "release_normalisation", {"number_rule_id": 8, "version": 2}),
        (["drop-rule", "8"], "withdraw_normalisation", {"number_rule_id": 8, "version": 2}),
    ],
)
def test_billing_is_told_what_it_is_about_and_which_version(
    kept: Kept, words: list[str], name: str, args: dict[str, Any]
) -> None:
    assert asked(kept, words) == {"name": name, "args": args}


@pytest.mark.parametrize(
    ("words", "name", "more"),
    [
        (["enter"], "enter_payment", {"trace": "CHK1"}),
        (
            ["restate", "7", "--reason", "phoned"],
            "restate_payment",
            {"remittance_claim_id": 7, "version": 3, "reason": "phoned", "claim": {"trace": "CHK1"}},
        ),
    ],
)
def test_a_remittance_on_paper_and_a_mended_payment_are_read_from_a_file(
    kept: Kept, tmp_path: Path, words: list[str], name: str, more: dict[str, Any]
) -> None:
    file = tmp_path / "paper.json"
    file.write_text('{"trace": "CHK1"}')
    assert asked(kept, [*words, str(file)]) == {"name": name, "args": more}


def test_what_is_not_there_is_a_matter_of_usage(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "paper.json"
    file.write_text("[]")
    for words in (["unmatch", "1", "--reason", "x"], ["next", "NONE"], ["enter", "nowhere"], ["enter", str(file)]):
        assert main(_words(kept, words)) == 2
        assert capsys.readouterr().err.startswith("H216 ")
