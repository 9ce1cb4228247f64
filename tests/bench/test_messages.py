from __future__ import annotations

from itertools import islice

from hub.bench.messages import PATIENTS, SIZE, messages
from hub.formats.hl7v2.message import Message


def test_the_load_is_adt_and_dft_in_turn_of_two_kilobytes_each() -> None:
    made = list(islice(messages("007"), 200))
    assert [Message(raw).type for raw in made[:4]] == ["ADT^A04", "DFT^P03", "ADT^A04", "DFT^P03"]
    assert all(abs(len(raw) - SIZE) <= 16 for raw in made)


def test_no_control_id_comes_twice_and_the_patients_are_many() -> None:
    made = [Message(raw) for raw in islice(messages("007"), 2 * PATIENTS + 10)]
    assert len({message.control_id for message in made}) == len(made)
    assert len({message["PID-3.1"] for message in made}) == PATIENTS


def test_two_runs_share_no_message() -> None:
    assert not set(islice(messages("001"), 50)) & set(islice(messages("002"), 50))
