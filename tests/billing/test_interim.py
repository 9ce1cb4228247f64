"""Interim bills: stays and recurring visits that a payer has billed in parts while they go on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hub.billing import claims
from hub.billing.claim_body import ClaimBody
from hub.billing.config import Department
from hub.billing.explain import explain
from hub.billing.made_anew import as_of_today
from hub.billing.stay_parts import parts
from hub.billing.values import AmountCode, Charge, DatedCode, Stay, Visit
from hub.formats.x12.claim import Institutional, ValueCode
from hub.formats.x12.institutional import read_837i
from hub.formats.x12.judge import judge
from hub.simulators.acknowledgements import Source, Verdict, ack_999, claim_acknowledgement
from hub.simulators.adjudication import Adjudicator
from hub.simulators.hl7 import Segment, write
from hub.simulators.remittance import Remittance, write_835
from hub.simulators.world import PAYERS
from hub.simulators.x12 import read_claims, read_interchange
from hub.site.load import Site, load_site
from hub.site.mapping import run_steps
from hub.store import tables
from hub.store.database import reading

from .conftest import World
from .payer import Desk, Line, Paid, Remit

DAY = timedelta(days=1)
ARRIVED = date(2026, 11, 10)  # the day on which a world begins
ROOT = Path(__file__).parents[2]


# ---------------------------------------------------------------- the days of each part


@given(
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.integers(0, 200),
    st.one_of(st.none(), st.just("month"), st.integers(1, 40)),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_every_day_of_a_stay_is_on_one_part_whatever_was_billed_before(begin, days, length, is_over, nights, data):
    end = begin + days * DAY
    told = [(part.since, part.until) for part in parts(begin, end, 9, (), is_over=False, nights=nights)]
    within = [(since, until) for since, until in told if until <= end]
    billed = data.draw(st.sets(st.sampled_from(within))) if within else set()
    found = parts(begin, end, length, billed, is_over=is_over, nights=nights)
    assert found[0].since == begin
    assert all(one.until + DAY == other.since for one, other in pairwise(found))
    assert found[-1].until == end if is_over else found[-1].until >= end
    assert billed <= {(part.since, part.until) for part in found}
    said = "".join(part.frequency for part in found)
    assert re.fullmatch("1|23*4" if is_over else "23*", said)


def test_a_part_that_was_billed_keeps_its_days_when_the_payers_file_changes():
    billed = {(ARRIVED, ARRIVED + 29 * DAY)}
    found = parts(ARRIVED, ARRIVED + 70 * DAY, 60, billed, is_over=False, nights=True)
    assert [(part.since - ARRIVED).days for part in found] == [0, 30]
    assert found[-1].until == ARRIVED + 89 * DAY


@pytest.mark.parametrize(("nights", "count"), [(True, 1), (False, 2)])
def test_the_day_of_discharge_is_no_day_of_a_bill_of_nights(nights, count):
    assert len(parts(ARRIVED, ARRIVED + 30 * DAY, 30, (), is_over=True, nights=nights)) == count


# ---------------------------------------------------------------- a stay


def ward(world: World, interim: int | str = 10, **payer: object) -> Visit:
    """An inpatient of a payer that wants a bill for every so many days; admitted, and said so to billing."""
    departments = (
        *world.config.practice.departments,
        Department(code="WARD", title="Ward", place_of_service="21", bills="837I", type_of_bill="11"),
        Department(
            code="PT", title="Physical therapy", place_of_service="22", bills="837I", patient_status="01",
            admission_type="3", admission_source="1",
        ),
    )  # fmt: skip
    changed = {"interim": interim, **payer}
    world.config = replace(
        world.config,
        practice=world.config.practice.model_copy(update={"departments": departments}),
        payers={name: each.model_copy(update=changed) for name, each in world.config.payers.items()},
    )
    stay = Stay(
        admitted=ARRIVED,
        admission_time="0915",
        admission_type="3",
        admission_source="1",
        diagnoses=("K3580",),
        present=("Y",),
        admitting_diagnosis="R1031",
        patient_status="30",
    )
    arriving = world.visit(attending_npi="1999000114", department="WARD", patient_class="I", stay=stay)
    world.decide_values([arriving])
    return arriving


def bed(world: World, day: date, revenue: str = "0120", amount: str = "950.00") -> None:
    """A night on the ward, or another service of that day."""
    charge = world.charge(
        f"{revenue}{day:%m%d}", code="", revenue_code=revenue, department="WARD", performing_npi="",
        amount=Decimal(amount), service_date=day,
    )  # fmt: skip
    world.decide_values([charge])


def nights(world: World, first: int, last: int) -> list[bytes]:
    """Spend the nights from *first* to *last* (from 0), each charged as it comes; the bills sent meanwhile."""
    sent: list[bytes] = []
    for night in range(first, last + 1):
        bed(world, ARRIVED + night * DAY)
        sent += a_day_passes(world)
    return sent


def leaves(world: World, arriving: Visit, on: date, **said: object) -> None:
    told = {"discharge_time": "1430", "patient_status": "01", **said}
    stay = replace(arriving.stay, discharged=on, **told)
    world.decide_values([replace(arriving, as_of=world.clock.now().isoformat(), stay=stay)])


def said_by(world: World, row: dict) -> Institutional:
    said = ClaimBody.from_plain(world.open(tables.claim, row)).claim.institutional
    assert said
    return said


def claims_of(bodies: list[bytes]) -> list:
    return [claim for body in bodies for claim in read_837i(body)]


def whole_stay(world: World) -> list:
    """A stay of 25 nights whose payer wants a bill for every ten days; every claim that was sent, in order."""
    arriving = ward(world)
    sent = nights(world, 0, 24)
    leaves(
        world, arriving, ARRIVED + 25 * DAY, operating_npi="1999000221",
        values=(AmountCode(code="80", amount=Decimal(25)), AmountCode(code="01", amount=Decimal("950.00"))),
        procedures=(DatedCode(code="0DTJ4ZZ", on=ARRIVED), DatedCode(code="0DJD8ZZ", on=ARRIVED + 22 * DAY)),
        occurrences=(DatedCode(code="11", on=ARRIVED), DatedCode(code="42", on=ARRIVED + 25 * DAY)),
    )  # fmt: skip
    return claims_of([*sent, *(emit.body for emit in world.bill_and_batch())])


def test_a_stay_is_billed_in_parts_while_it_goes_on(world: World) -> None:
    first, second, last = whole_stay(world)
    assert [claim.frequency for claim in (first, second, last)] == ["2", "3", "4"]
    stays = [claim.institutional for claim in (first, second, last)]
    assert [((s.statement_from - ARRIVED).days, (s.statement_to - ARRIVED).days) for s in stays] == [
        (0, 9), (10, 19), (20, 25),
    ]  # fmt: skip
    assert [(s.patient_status, s.discharge_time) for s in stays] == [("30", ""), ("30", ""), ("01", "1430")]
    assert {claim.admission_date for claim in (first, second, last)} == {ARRIVED}
    assert len({claim.control_number for claim in (first, second, last)}) == 3


def test_no_charge_of_a_stay_is_on_two_of_its_bills_and_none_is_missing(world: World) -> None:
    made = whole_stay(world)
    days = [line.service_date for claim in made for line in claim.lines]
    assert days == [ARRIVED + night * DAY for night in range(25)]
    assert sum(claim.charge for claim in made) == 25 * Decimal("950.00")
    assert len({row["chain_id"] for row in world.rows(tables.claim)}) == 3
    assert world.items() == []
    world.check_ledger()


def test_what_a_hospital_says_of_a_whole_stay_stands_on_the_bills_of_its_days(world: World) -> None:
    stay = Stay(
        admitted=ARRIVED - 25 * DAY,
        discharged=ARRIVED,
        discharge_time="1430",
        admission_type="3",
        admission_source="1",
        patient_status="01",
        diagnoses=("K3580",),
        present=("Y",),
        admitting_diagnosis="R1031",
        operating_npi="1999000221",
        values=(AmountCode(code="80", amount=Decimal(25)), AmountCode(code="01", amount=Decimal("950.00"))),
        procedures=tuple(DatedCode(code="0DTJ4ZZ", on=ARRIVED - n * DAY) for n in (26, 3)),
        occurrences=(
            DatedCode(code="11", on=ARRIVED - 25 * DAY),
            DatedCode(code="42", on=ARRIVED),
            DatedCode(code="74", on=ARRIVED - 24 * DAY, until=ARRIVED - 23 * DAY),
        ),
    )
    ward(world)
    told = world.visit("A2", attending_npi="1999000114", department="WARD", patient_class="I", stay=stay)
    charges = [
        world.charge(
            f"N{night}", "A2", code="", revenue_code="0120", department="WARD", performing_npi="",
            service_date=ARRIVED - (25 - night) * DAY,
        )
        for night in range(25)
    ]  # fmt: skip
    world.decide_values([told, *charges])
    made = claims_of([emit.body for emit in world.bill_and_batch()])
    by_frequency = {claim.frequency: claim.institutional for claim in made}
    assert sorted(by_frequency) == ["2", "3", "4"]
    stays = [by_frequency[each] for each in "234"]
    assert [[(v.code, v.amount) for v in s.values] for s in stays] == [
        [("80", Decimal(days)), ("01", Decimal(950))] for days in (10, 10, 5)
    ]
    assert [[(ARRIVED - each.on).days for each in s.procedures] for s in stays] == [[26], [], [3]]
    assert [[each.code for each in s.occurrences] for s in stays] == [["74", "11"], ["11"], ["11", "42"]]


def test_days_that_were_not_covered_are_for_a_person_to_part(world: World) -> None:
    arriving = ward(world)
    values = (AmountCode(code="80", amount=Decimal(8)), AmountCode(code="81", amount=Decimal(3)))
    world.decide_values([replace(arriving, stay=replace(arriving.stay, values=values))])
    assert nights(world, 0, 12) == []
    (item,) = world.items("claim edits")
    assert item["rule"] == "IN-08"


def test_a_stay_that_ends_within_its_first_part_is_one_whole_bill(world: World) -> None:
    arriving = ward(world, interim=30)
    assert nights(world, 0, 4) == []
    leaves(world, arriving, ARRIVED + 5 * DAY)
    (claim,) = claims_of([emit.body for emit in world.bill_and_batch()])
    assert (claim.frequency, claim.institutional.patient_status) == ("1", "01")


def test_a_payer_that_wants_no_parts_waits_for_the_end(world: World) -> None:
    ward(world, interim=None)
    assert nights(world, 0, 24) == []
    assert world.rows(tables.claim) == []


def test_an_outpatient_who_comes_back_is_billed_by_the_month(world: World) -> None:
    ward(world, interim="month")
    visit = world.visit("A2", attending_npi="1999000114", department="PT", patient_class="R", stay=Stay())
    world.decide_values([visit])
    days = [ARRIVED + week * 7 * DAY for week in range(8)]  # to 29 December
    sent: list[bytes] = []
    for day in days:
        world.advance(days=(day - world.clock.today()).days)
        line = world.charge(f"P{day:%m%d}", "A2", code="97110", revenue_code="0420", department="PT", service_date=day)
        world.decide_values([line])
        sent += [emit.body for emit in world.bill_and_batch()]
    (first,) = claims_of(sent)
    assert (first.frequency, first.institutional.patient_status, first.institutional.facility_type) == ("2", "30", "13")
    assert (first.institutional.statement_from, first.institutional.statement_to) == (ARRIVED, date(2026, 11, 30))
    assert [line.service_date for line in first.lines] == days[:3]
    ended = replace(visit, as_of=world.clock.now().isoformat(), stay=Stay(discharged=days[-1]))
    world.decide_values([ended])
    (last,) = claims_of([emit.body for emit in world.bill_and_batch()])
    assert (last.frequency, last.institutional.patient_status) == ("4", "01")
    assert [line.service_date for line in last.lines] == days[3:]


def test_a_late_charge_replaces_the_bill_of_its_part_and_no_other(world: World) -> None:
    whole_stay(world)
    second = world.rows(tables.claim, frequency="3")[0]
    bed(world, ARRIVED + 14 * DAY, "0250", "20.00")
    assert world.bill_and_batch() == []
    (made,) = world.rows(tables.claim, frequency="7")
    said = said_by(world, made)
    assert made["chain_id"] == second["chain_id"]
    assert made["total_cents"] == second["total_cents"] + 2000
    assert (said.statement_from, said.statement_to, said.patient_status) == (
        ARRIVED + 10 * DAY,
        ARRIVED + 19 * DAY,
        "30",
    )
    (item,) = world.items("approval")
    assert item["kind"] == "replacement claim"
    world.check_ledger()


def test_what_is_charged_before_a_part_was_sent_goes_onto_its_bill(world: World) -> None:
    ward(world, accepts_replacement=True)
    world.config = replace(world.config, policy=world.config.policy.model_copy(update={"approval": "person"}))
    nights(world, 0, 12)
    bed(world, ARRIVED + 3 * DAY, "0250", "20.00")
    nights(world, 13, 15)
    living = [row for row in world.rows(tables.claim) if row["state"] != "void"]
    assert [(row["frequency"], row["total_cents"]) for row in living] == [("2", 10 * 95000 + 2000)]
    assert len(world.items("approval")) == 1
    world.check_ledger()


def test_a_person_is_told_when_a_stay_ends_and_no_charge_is_left_for_its_last_bill(world: World) -> None:
    arriving = ward(world)
    nights(world, 0, 9)
    world.bill_and_batch()
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["2"]
    leaves(world, arriving, ARRIVED + 10 * DAY)
    world.advance(days=1.1)
    world.run_due("bill")
    (item,) = world.items("charge review")
    assert item["kind"] == "no last bill"
    bed(world, ARRIVED + 10 * DAY, "0250", "20.00")
    world.bill_and_batch()
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["2", "4"]
    assert world.items("charge review") == []


def test_the_next_payer_gets_a_part_as_the_first_one_did(world: World) -> None:
    arriving = ward(world)
    second = world.coverage("90003", "N1", priority=2)
    world.decide_values([replace(arriving, coverages=(world.coverage(), second), as_of=world.clock.now().isoformat())])
    nights(world, 0, 11)
    (first,) = world.rows(tables.claim)
    desk = Desk(world)
    lines = tuple(
        Line("0120", "950.00", "900.00", (("PR", "2", "50.00"),), control=row["control_number"], day="20261110")
        for row in desk.lines(first)
    )
    desk.send(Remit((Paid(first["control_number"], "9500.00", "9000.00", lines, patient="500.00"),)))
    world.run_due("next payer")
    made = world.one(tables.claim, previous_id=first["id"])
    assert (made["frequency"], made["payer_id"]) == ("2", "90003")
    assert said_by(world, made).patient_status == "30"


def test_a_part_that_was_not_sent_is_made_anew_for_the_same_days(world: World) -> None:
    arriving = ward(world)
    world.config = replace(world.config, policy=world.config.policy.model_copy(update={"approval": "person"}))
    nights(world, 0, 22)
    before = billed_days(world)
    assert [frequency for frequency, _, _ in before] == ["2", "3"]
    card = world.coverage(member_id="W999999999")
    world.decide_values([replace(arriving, coverages=(card,), as_of=world.clock.now().isoformat())])
    assert billed_days(world) == []
    world.run_due("bill")
    assert billed_days(world) == before
    world.check_ledger()


def billed_days(world: World) -> list[tuple[str, date, date]]:
    rows = [row for row in world.rows(tables.claim) if row["state"] != "void"]
    stays = [(row["frequency"], said_by(world, row)) for row in rows]
    return sorted((frequency, said.statement_from, said.statement_to) for frequency, said in stays)


def test_what_is_known_by_now_of_a_part_is_compared_with_its_bill_for_the_same_days(world: World) -> None:
    whole_stay(world)
    bed(world, ARRIVED + 14 * DAY, "0250", "20.00")
    world.bill_and_batch()
    *sent, replacement = world.rows(tables.claim)
    with reading(world.store) as connection:
        decision = Desk(world).decision(None, connection)
        made = [as_of_today(decision, row) for row in sent]
        assert claims.first_frequency(decision, replacement) == "3"
    now = [each.institutional for each in made if each and each.institutional]
    bills = [said_by(world, row) for row in sent]
    for days in (lambda each: (each.statement_from, each.statement_to), lambda each: each.patient_status):
        assert [days(each) for each in now] == [days(each) for each in bills]
    assert now[1].values == (ValueCode("80", Decimal(10)), ValueCode("01", Decimal("950.00")))  # told at the end
    assert [each.frequency for each in made if each] == ["2", "3", "4"]


def test_the_days_of_a_part_are_explained_by_the_payers_file(world: World) -> None:
    whole_stay(world)
    row = world.rows(tables.claim, frequency="3")[0]
    with world.store.connect() as connection:
        found = explain(connection, world.vault, row["id"], world.open(tables.claim, row))
    places = {each.place: [origin.place for origin in each.origins] for each in found}
    assert places["2300/CLM05-3"] == ["config/payers, 90001, interim"]
    assert places["2300/CL103"] == ["config/payers, 90001, interim"]


# ---------------------------------------------------------------- from the EHR's messages to the payer's money

DOOR = Source("CLEARWAY01", "AY", "CLEARWAY", "CLEARWAY01")
DOCTOR = "1999000114^OKAFOR^MARIN^^^^^^NPI^^^^NPI"


@dataclass
class Ehr:
    """An EHR whose messages go through the demonstration site's own mapping, as they come."""

    world: World
    site: Site
    told: int = 0

    def tell(self, kind: str, *segments: Segment) -> None:
        self.told += 1
        now = self.world.clock.now()
        header = {2: "^~\\&", 3: "ALDER_EHR", 4: "ALDER", 5: "CLAIMHUB", 6: "HUB", 7: f"{now:%Y%m%d%H%M}-0600", 9: kind}
        pid = {
            1: "1", 3: "MR1^^^ALDER^MR", 5: "EXAMPLAR^WREN", 7: "19800214", 8: "F",
            11: "42 ELM AVE^^SPRINGFIELD^IL^62702^USA^H", 18: "AC1^^^ALDER^AN",
        }  # fmt: skip
        known = header | {10: f"C{self.told}", 11: "T", 12: "2.5.1", 18: "UNICODE UTF-8"}
        raw = write([("MSH", known), ("PID", pid), *segments])
        about = {"kind": kind, "received_on": now.isoformat(), "control_id": f"C{self.told}", "id": 0}
        mapped = run_steps(self.site.channels["ehr_visits"], self.site.scripts, self.site.zone, about, raw)
        assert mapped.error is None
        self.world.decide_values([made.thing for made in mapped.of(Visit, Charge)], raw=raw)

    def registers(self, kind: str, left: date | None = None) -> None:
        pv1 = {
            1: "1", 2: "I", 3: "WARD^^^ALDER", 4: "1", 7: DOCTOR, 14: "1", 19: "V1^^^ALDER^VN", 36: "30",
            44: f"{ARRIVED:%Y%m%d}0915",
        }  # fmt: skip
        if left:
            pv1 |= {36: "01", 45: f"{left:%Y%m%d}1430"}
        in1 = {
            1: "1", 2: "PLAN", 3: "90001^^^PAYER", 4: "CEDAR MUTUAL", 16: "EXAMPLAR^WREN", 17: "SEL", 18: "19800214",
            19: "42 ELM AVE^^SPRINGFIELD^IL^62702^USA^H", 22: "1", 27: "Y", 36: "CM12345678", 43: "F",
        }  # fmt: skip
        days = (left or self.world.clock.today() + DAY) - ARRIVED
        self.tell(
            kind,
            ("PV1", pv1),
            ("DG1", {1: "1", 3: "J18.9^^I10C", 6: "F", 15: "1"}),
            ("ZDG", {1: "Y"}),
            ("DG1", {1: "9", 3: "R05.9^^I10C", 6: "A"}),
            ("IN1", in1),
            ("UB2", {1: "1", 6: f"80^{days.days}.00"}),
        )

    def charges(self, day: date, revenue: str, cents: int) -> None:
        line = {
            1: "1", 2: f"{revenue}-{day:%m%d}", 4: f"{day:%Y%m%d}", 6: "CG", 7: f"CDM^^CDM^{revenue}^^REV", 10: "1",
            11: f"{cents / 100:.2f}^USD", 13: "WARD", 19: "J18.9^^I10C", 20: DOCTOR,
        }  # fmt: skip
        self.tell("DFT^P03", ("PV1", {1: "1", 2: "I", 3: "WARD^^^ALDER", 19: "V1^^^ALDER^VN"}), ("FT1", line))


def test_a_long_stay_goes_from_admission_and_charges_through_three_bills_to_its_payments(world: World) -> None:
    site = load_site(ROOT).require_sound()
    payers = {name: payer.model_copy(update={"interim": 10}) for name, payer in site.billing.payers.items()}
    policy = site.billing.policy.model_copy(update={"bill_hold": 86_400.0})
    world.config = replace(site.billing, payers=payers, policy=policy, site_rules=())
    ehr = Ehr(world, site)
    ehr.registers("ADT^A01")
    bodies: list[bytes] = []
    for night in range(24):
        ehr.charges(ARRIVED + night * DAY, "0120", 95_000)
        if night % 6 == 0:
            ehr.charges(ARRIVED + night * DAY, "0300", 22_150)
        bodies += a_day_passes(world)
    ehr.registers("ADT^A03", ARRIVED + 24 * DAY)
    bodies += a_day_passes(world) + a_day_passes(world) + a_day_passes(world)

    assert all(judge(body).ok for body in bodies)
    stored = [ClaimBody.from_plain(world.open(tables.claim, row)).claim for row in world.rows(tables.claim)]
    assert claims_of(bodies) == stored
    assert [claim.frequency for claim in stored] == ["2", "3", "4"]
    received = [
        (transaction, *read_claims(transaction))
        for body in bodies
        for transaction in read_interchange(body.decode()).transactions
    ]
    assert [(claim.place, claim.frequency, len(claim.lines)) for _, _, (claim,) in received] == [
        ("11", "2", 12), ("11", "3", 12), ("11", "4", 4),
    ]  # fmt: skip

    payer = PAYERS["90001"]
    adjudicator = Adjudicator(payer, 1, denied_percent=0)
    decisions = []
    for number, (transaction, batch, (claim,)) in enumerate(received, 1):
        icn = f"ICN{number:05d}"
        accepted = Verdict(claim, "A1:20:AY", True, icn=icn)
        now = world.clock.now()
        world.decide_file(ack_999(DOOR, number * 2, now, [transaction], None).encode())
        world.decide_file(claim_acknowledgement(DOOR, number * 2 + 1, now, batch, [accepted]).encode())
        decisions.append(adjudicator.decide(claim, icn))
    remittance = Remittance(payer, "EFT100", tuple(decisions))
    (row,) = Desk(world).take(write_835(remittance, "CLEARWAY01", 900, world.clock.now()).encode())
    assert row["state"] == "posted"
    rows = world.rows(tables.claim)
    assert {claim["state"] for claim in rows} == {"paid"}
    for claim, decision in zip(rows, decisions, strict=True):
        assert world.balances(claim_id=claim["id"]).get("receivable payer", 0) == 0
        assert claim["total_cents"] == decision.charge
    assert -world.balances()["revenue"] == 24 * 95_000 + 4 * 22_150
    world.check_ledger()


def a_day_passes(world: World) -> list[bytes]:
    """A day of business; the hospital's bills that were sent in it."""
    world.start()
    world.advance(days=1)
    before = len(world.emitted)
    world.run_due("bill", "batch")
    made = [emit for emit in world.emitted[before:] if emit.kind == "837I"]
    for emit in made:
        world.deliver(emit)
    world.run_due("delivered")
    return [emit.body for emit in made]
