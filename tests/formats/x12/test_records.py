from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from hub.formats.x12.claim_status import ClaimAcknowledgement, read_277ca
from hub.formats.x12.envelope import read_transactions
from hub.formats.x12.records import from_plain, to_plain
from hub.formats.x12.remittance import Remittance, read_835


def test_a_remittance_survives_being_stored_as_json(samples) -> None:
    (transaction,) = read_transactions(samples["835"])
    remittance = read_835(transaction)
    assert from_plain(Remittance, json.loads(json.dumps(to_plain(remittance)))) == remittance


def test_an_acknowledgement_survives_being_stored_as_json(samples) -> None:
    (transaction,) = read_transactions(samples["277ca"])
    answer = read_277ca(transaction)
    assert from_plain(ClaimAcknowledgement, json.loads(json.dumps(to_plain(answer)))) == answer


def test_money_is_stored_as_text_with_its_cents(samples) -> None:
    (transaction,) = read_transactions(samples["835"])
    stored = to_plain(read_835(transaction))
    assert isinstance(stored, dict)
    assert isinstance(stored["header"], dict)
    assert stored["header"]["amount"] == "85.00"


def test_floats_are_no_part_of_any_record() -> None:
    @dataclass
    class Careless:
        amount: float

    with pytest.raises(TypeError):
        to_plain(Careless(0.1))
