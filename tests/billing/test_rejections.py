"""The fix table: what a machine may do about a claim that came back, and where a person finds the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.billing.config import PostalAddress
from hub.billing.edits.table import EDITS
from hub.billing.rejections import FACTS, fix_for, table
from hub.formats.x12.claim_status import Reason
from hub.formats.x12.professional import read_837p
from hub.store import tables
from tests.billing.test_acknowledgements import ack_277ca


@pytest.fixture
def sent(world):
    """A claim that was sent."""
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    return world


def reject(world, *statuses):
    number = world.rows(tables.claim)[-1]["control_number"]
    world.decide_file(ack_277ca([(number, [f"STC*{status}*20261111*U*150" for status in statuses], "")], role="AY"))


def practice(world, **fields):
    changed = world.config.practice.model_copy(update=fields)
    world.config = replace(world.config, practice=changed)


def test_every_row_of_the_table_can_be_followed() -> None:
    for fix in table():
        assert fix.do
        assert fix.auto is (fix.fix in {"records", "new claim", "crossed over", "frequency"})
        assert fix.fix != "records" or fix.about in FACTS
    codes = [code for fix in table() for code in fix.codes]
    assert len(codes) == len(set(codes))


def test_the_entity_is_part_of_the_meaning() -> None:
    about = {entity: fix_for(Reason("A7", "562", entity)).about for entity in ("82", "85")}
    assert about == {"82": "rendering npi", "85": "billing npi"}
    assert fix_for(Reason("A7", "99999", "")) is None


def test_a_rejection_is_fixed_from_the_records_when_they_say_otherwise_by_now(sent):
    whole = PostalAddress(line="214 ALDER STREET", city="SPRINGFIELD", state="IL", postal_code="627014499")
    practice(sent, address=whole)
    reject(sent, "A7:500:85")
    assert sent.items() == []
    assert sent.counts["rejections fixed"] == 1
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert claim.billing_provider.address.postal_code == "627014499"
    first, second = sent.rows(tables.claim)
    assert (first["state"], second["frequency"], second["chain_id"]) == ("void", "1", first["chain_id"])
    sent.check_ledger()


def test_it_is_tried_once_and_never_where_the_records_say_the_same(sent):
    reject(sent, "A7:500:85")
    assert [item["queue"] for item in sent.items()] == ["rejections"]
    assert sent.bill_and_batch() == []


def test_a_second_rejection_for_the_same_cause_is_for_a_person(sent):
    for last in ("11", "12"):
        practice(
            sent,
            address=PostalAddress(
                line="214 ALDER STREET", city="SPRINGFIELD", state="IL", postal_code=f"6270144{last}"
            ),
        )
        reject(sent, "A7:500:85")
        sent.bill_and_batch()
    assert [row["state"] for row in sent.rows(tables.claim)] == ["void", "rejected"]
    assert [item["queue"] for item in sent.items()] == ["rejections"]


def test_a_registration_that_was_corrected_meanwhile_fixes_the_member(sent):
    sent.advance(hours=1)
    sent.decide_values([sent.visit(coverages=(sent.coverage(member_id="W999999999"),))])
    reject(sent, "A7:164:IL")
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert claim.subscriber.member_id == "W999999999"
    assert sent.items() == []


@pytest.mark.parametrize(
    ("statuses", "queue"),
    [
        (("A7:507",), "coding"),
        (("A7:477",), "coding"),
        (("A3:718",), "rejections"),
        (("A7:510",), "rejections"),
        (("A8:771",), "secondary"),
        (("A7:500:85", "A7:453"), "coding"),
        (("A7:1",), "rejections"),
    ],
)
def test_whatever_a_machine_may_not_do_stands_in_its_queue_with_what_to_do(sent, statuses, queue):
    practice(
        sent, address=PostalAddress(line="214 ALDER STREET", city="SPRINGFIELD", state="IL", postal_code="627014499")
    )
    reject(sent, *statuses)
    (item,) = sent.items()
    assert (item["queue"], item["claim_id"]) == (queue, sent.one(tables.claim)["id"])
    assert sent.one(tables.claim)["state"] == "rejected"
    assert sent.bill_and_batch() == []


def test_the_item_names_the_edit_that_would_have_found_it_and_proves_timely_filing(sent):
    reject(sent, "A3:718")
    (item,) = sent.items()
    evidence = sent.open(tables.work_item, item)
    assert (item["rule"], evidence["edits"]) == ("CL-11", ["CL-11"])
    assert [each["what"] for each in evidence["proof"]] == ["delivered", "claim_ack"]


def test_a_missing_enrolment_is_one_item_and_holds_the_payers_claims_until_it_is_resolved(sent):
    reject(sent, "A7:496")
    (item,) = sent.items("enrolment")
    assert item["item_key"] == "enrolment/90001"
    sent.decide_values([sent.visit("A2"), sent.charge("T2", "A2", code="99214")])
    assert sent.bill_and_batch() == []
    assert sent.rows(tables.claim)[1]["state"] == "ready"
    item = sent.one(tables.work_item, id=item["id"])
    answer = sent.command("resend_batch", item_id=item["id"], version=item["version"], reason="they know us now")
    assert answer["claims"] == 1
    (batch,) = sent.bill_and_batch()
    assert len(read_837p(batch.body)) == 2


def test_what_the_table_prevents_is_known_to_the_edits() -> None:
    prevented = {code for edit in EDITS.values() for code in edit.prevents}
    of_the_table = {code for fix in table() for code in fix.codes}
    assert len(of_the_table & prevented) > 20
