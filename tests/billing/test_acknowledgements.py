"""TA1, 999, 997 and 277CA move the claims that they speak of; what they refuse stands in a queue with the reason."""

from __future__ import annotations

import re

import pytest

from hub.formats.x12.professional import read_837p
from hub.store import tables

pytestmark = pytest.mark.both_stores


def interchange(body, kind="", version=""):
    """*body*'s segments in an envelope; without *kind* they stand outside of any group."""
    isa = "ISA*00*          *00*          *ZZ*CLEARWAY01     *ZZ*ALDERST01      *261111*0900*^*00501*000000900*0*T*:~"
    if not kind:
        return (isa + "".join(f"{s}~" for s in body) + "IEA*0*000000900~").encode()
    inside = [f"ST*{kind}*0001{version and '*' + version}", *body, f"SE*{len(body) + 2}*0001"]
    group = f"GS*FA*CLEARWAY01*ALDERST01*20261111*0900*9*X*{version or '005010'}~"
    return (isa + group + "".join(f"{s}~" for s in inside) + "GE*1*9~IEA*1*000000900~").encode()


def ack_999(code, *errors, group=1, kind="999"):
    ik5 = "IK5" if kind == "999" else "AK5"
    body = [f"AK1*HC*{group}*005010X222A1", "AK2*837*0001*005010X222A1", *errors, f"{ik5}*{code}", f"AK9*{code}*1*1*0"]
    return interchange(body, kind, "005010X231A1" if kind == "999" else "")


def ack_277ca(claims, role="PR", reference="B000000001", totals=()):
    body = [
        "BHT*0085*08*X1*20261111*0900*TH",
        "HL*1**20*1",
        f"NM1*{role}*2*SOMEBODY*****46*SB01",
        "TRN*1*1",
        "HL*2*1*21*1",
        "NM1*41*2*ALDER*****46*ALDERST01",
        f"TRN*2*{reference}",
        "STC*A1:19*20261111*WQ*150",
        *totals,
    ]
    for number, (control, statuses, icn) in enumerate(claims, start=3):
        body += [f"HL*{number}*2*PT", "NM1*QC*1*EXAMPLAR*WREN****MI*W123456789", f"TRN*2*{control}", *statuses]
        body += [f"REF*1K*{icn}"] if icn else []
    return interchange(body, "277", "005010X214")


@pytest.fixture
def sent(world):
    """A world in which two claims of two patients' visits were sent in one batch."""
    world.decide_values([world.visit("A1"), world.charge("T1", "A1")])
    other = world.patient("M2", birth_date=world.patient().birth_date.replace(year=1981))
    world.decide_values([world.visit("A2", patient=other), world.charge("T2", "A2", mrn="M2", modifiers=("25",))])
    (batch,) = world.bill_and_batch()
    assert len(read_837p(batch.body)) == 2
    return world


def states(world):
    return [row["state"] for row in world.rows(tables.claim)]


def test_an_accepted_interchange_and_group_move_every_claim_of_the_batch(sent):
    sent.decide_file(interchange(["TA1*000000001*261111*0900*A*000"]))
    assert states(sent) == ["sent", "sent"]
    sent.decide_file(ack_999("A"))
    assert states(sent) == ["accepted 999", "accepted 999"]
    assert sent.items() == []


@pytest.mark.parametrize("kind", ["999", "997"])
def test_a_refused_transaction_rejects_all_its_claims_with_one_item_that_says_why(sent, kind):
    errors = ["IK3*NM1*8*2010AA*8", "IK4*9*67*7*X"] if kind == "999" else ["AK3*NM1*8*2010AA*8", "AK4*9*67*7*X"]
    sent.decide_file(ack_999("R", *errors, kind=kind))
    sent.decide_file(ack_999("R", *errors, kind=kind))
    assert states(sent) == ["rejected", "rejected"]
    (item,) = sent.items("rejections")
    assert item["money_cents"] == 30000
    assert "2 claims" in item["sentence"]
    assert "2010AA NM1" in item["sentence"]


def test_a_refused_interchange_rejects_its_claims(sent):
    sent.decide_file(interchange(["TA1*000000001*261111*0900*R*025"]))
    assert states(sent) == ["rejected", "rejected"]
    assert sent.one(tables.batch)["state"] == "rejected"
    (item,) = sent.items("rejections")
    assert "whether any of it counts as filed is not certain" in item["sentence"]
    assert "before anything is sent again" in item["sentence"]


def test_each_claim_of_a_277ca_moves_by_itself_and_all_reasons_are_told(sent):
    one, two = sent.rows(tables.claim)
    sent.decide_file(
        ack_277ca(
            [
                (one["control_number"], ["STC*A2:20:PR*20261111*WQ*150"], "ICN1"),
                (two["control_number"], ["STC*A7:164:IL*20261111*U*150******A7:562:82**SAY AGAIN"], ""),
            ]
        )
    )
    assert states(sent) == ["accepted payer", "rejected"]
    assert sent.rows(tables.claim)[0]["payer_claim_number"] == "ICN1"
    (item,) = sent.items("rejections")
    assert item["claim_id"] == two["id"]
    assert re.search(r"164.*562", item["sentence"])
    assert "SAY AGAIN" not in item["sentence"]
    assert sent.open(tables.work_item, item)["said"] == ["SAY AGAIN"]


def test_the_clearinghouses_word_comes_before_the_payers_and_never_moves_a_claim_back(sent):
    number = sent.rows(tables.claim)[0]["control_number"]
    accepted = [(number, ["STC*A2:20*20261111*WQ*150"], "")]
    sent.decide_file(ack_277ca(accepted, role="AY"))
    assert states(sent)[0] == "accepted clearinghouse"
    sent.decide_file(ack_277ca(accepted, role="PR"))
    sent.decide_file(ack_277ca(accepted, role="AY"))
    sent.decide_file(ack_999("A"))
    assert states(sent)[0] == "accepted payer"
    assert sent.items() == []


@pytest.mark.parametrize(
    ("category", "queue"), [("R4", "documents"), ("P4", "documents"), ("A4", "lost claims"), ("X0", "anomalies")]
)
def test_a_status_that_asks_for_a_person_stands_in_the_queue_that_the_table_names(sent, category, queue):
    claim = sent.rows(tables.claim)[0]
    sent.decide_file(ack_277ca([(claim["control_number"], [f"STC*{category}:294*20261111*WQ*150"], "")]))
    (item,) = (item for item in sent.items(queue) if item["claim_id"] == claim["id"])
    assert (item["due_on"] != "") == (queue == "documents")
    assert item["money_cents"] == 15000


def test_a_payers_yes_after_a_no_is_put_in_front_of_a_person(sent):
    number = sent.rows(tables.claim)[0]["control_number"]
    sent.decide_file(ack_277ca([(number, ["STC*A3:21*20261111*U*150"], "")], role="AY"))
    sent.decide_file(ack_277ca([(number, ["STC*A2:20*20261111*WQ*150"], "")], role="PR"))
    assert states(sent)[0] == "rejected"
    (item,) = sent.items("anomalies")
    assert item["kind"] == "impossible event"


def test_a_whole_batch_refused_at_the_door_rejects_its_claims(sent):
    raw = ack_277ca([]).replace(b"STC*A1:19*20261111*WQ*150", b"STC*A8:746:40*20261111*U*300")
    sent.decide_file(raw)
    assert states(sent) == ["rejected", "rejected"]
    assert len(sent.items("rejections")) == 1


@pytest.mark.parametrize(
    "raw",
    [
        interchange(["TA1*000000077*261111*0900*A*000"]),
        ack_999("A", group=77),
        ack_277ca([("HNOBODY", ["STC*A2:20*20261111*WQ*150"], "")]),
        interchange(["BEG*00*SA*1**20261111"], "850"),
        b"this is no interchange",
        b"",
    ],
)
def test_what_answers_nothing_of_ours_or_cannot_be_read_stands_with_the_anomalies(sent, raw):
    message_id = sent.decide_file(raw)
    (item,) = sent.items()
    assert (item["queue"], item["message_id"]) == ("anomalies", message_id)
    assert states(sent) == ["sent", "sent"]


def test_a_production_answer_does_not_reach_a_test_site(sent):
    sent.decide_file(ack_999("R").replace(b"*0*T*:~", b"*0*P*:~"))
    assert states(sent) == ["sent", "sent"]
    (item,) = sent.items()
    assert item["kind"] == "wrong environment"


def test_a_damaged_answer_is_taken_in_and_the_damage_told(sent):
    sent.decide_file(ack_999("A")[:-40])
    assert states(sent) == ["accepted 999", "accepted 999"]
    (item,) = sent.items("anomalies")
    assert item["kind"] == "damaged file"


def test_several_interchanges_in_one_file_are_all_read(sent):
    sent.decide_file(interchange(["TA1*000000001*261111*0900*A*000"]) + ack_999("A"))
    assert [event["kind"] for event in sent.rows(tables.claim_event)][-4:] == ["ta1", "ta1", "ack999", "ack999"]


def test_a_rejected_claim_can_be_billed_anew_under_a_new_number(sent):
    first = sent.rows(tables.claim)[0]
    sent.decide_file(ack_277ca([(first["control_number"], ["STC*A7:164:IL*20261111*U*150"], "")]))
    version = sent.rows(tables.claim)[0]["version"]
    assert sent.command("rebill_claim", claim_id=first["id"], version=version, reason="id corrected")["ok"]
    assert sent.items() == []
    assert len(sent.bill_and_batch()) == 1
    again = sent.rows(tables.claim)[-1]
    assert (again["chain_id"], again["frequency"], again["state"]) == (first["chain_id"], "1", "sent")
    assert again["control_number"] != first["control_number"]
    sent.check_ledger()


def test_an_answer_about_many_claims_is_taken_in_parts_and_whole(world, monkeypatch):
    monkeypatch.setattr("hub.billing.decision.CHUNK", 8)
    for number in range(6):
        world.decide_values([world.visit(f"A{number}"), world.charge(f"T{number}", f"A{number}", code=f"9921{number}")])
    world.bill_and_batch()
    assert states(world) == ["sent"] * 6
    numbers = [row["control_number"] for row in world.rows(tables.claim)]
    world.decide_file(ack_277ca([(number, ["STC*A2:20*20261111*WQ*150"], "") for number in numbers]))
    assert states(world) == ["accepted payer"] * 6
    world.decide_file(ack_999("A"))
    events = [event["kind"] for event in world.rows(tables.claim_event)]
    assert (events.count("claim_ack"), events.count("ack999")) == (6, 6)
