from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from hub.billing import reconcile
from hub.billing.stages import Stage
from hub.core.money import from_cents, to_cents
from hub.formats.x12.envelope import read_transactions
from hub.formats.x12.errors import NotAnInterchangeError
from hub.formats.x12.remittance import read_835
from hub.store import tables
from hub.store.database import reading
from tests.billing.conftest import World, make_world
from tests.billing.payer import Desk, Line, Paid, Remit

CORPUS = Path(os.environ.get("HUB_CORPUS", Path(__file__).parents[3] / "shared" / "samples"))
CODES = (("CO", "45"), ("PR", "1"), ("PR", "3"), ("PR", "96"), ("CO", "50"), ("OA", "23"), ("PI", "16"))
AMOUNTS = (("150.00",), ("100.00", "50.00", "0.01"), ("33.33", "65.10"))


def figures(world: World) -> reconcile.Figures:
    with reading(world.store) as connection:
        return reconcile.figures(connection)


@pytest.fixture
def paid_world(world: World) -> Desk:
    """A store with one posted and one unmatched payment."""
    desk = Desk(world)
    claim = desk.claim("A1")
    line = Line("99213", "150", "80", (("CO", "45", "45"), ("PR", "3", "25")))
    stranger = Paid("STRANGER1", "70", "70", icn="S1", member="")
    desk.send(Remit((Paid(claim["control_number"], "150", "80", (line,)), stranger), plb=(("L6:X", "-2"),)))
    return desk


def test_the_figures_say_where_every_cent_is(paid_world: Desk) -> None:
    found = figures(paid_world.world)
    assert found.ok
    assert found.charges.charged == from_cents(15000)
    assert found.charges.paid == from_cents(8000)
    assert found.charges.patient == from_cents(2500)
    assert found.charges.contractual == from_cents(4500)
    assert found.charges.open == found.charges.difference == 0
    assert (found.cash, found.unapplied, found.interest) == tuple(map(from_cents, (15200, 7000, 200)))
    assert found.clearing == -found.unapplied
    assert found.cash == found.charges.paid + found.unapplied - found.provider_level + found.interest


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda t: update(t.ledger_posting).where(t.ledger_posting.c.code == "PR-3").values(amount_cents=1), "entry"),
        (lambda t: update(t.charge).values(amount_cents=14999), "charge"),
        (lambda t: update(t.claim_line).values(charge_cents=1), "claim"),
        (lambda t: delete(t.remittance_claim).where(t.remittance_claim.c.state == "posted"), "remittance"),
        (lambda t: update(t.remittance).values(amount_cents=1), "cash"),
    ],
)  # fmt: skip
def test_books_that_were_tampered_with_are_found_out(paid_world: Desk, damage: Any, kind: str) -> None:
    with paid_world.world.writing() as connection:
        connection.execute(damage(tables))
    found = figures(paid_world.world)
    assert not found.ok
    assert kind in {each.kind for each in found.differences}


def test_a_charge_whose_money_went_missing_from_the_ledger_is_a_difference(paid_world: Desk) -> None:
    world = paid_world.world
    charge = world.one(tables.charge)
    with world.writing() as connection:
        connection.execute(
            insert(tables.ledger_posting).values(
                entry_id=1, ordinal=1, account="patient", amount_cents=5, charge_id=charge["id"]
            )
        )
    assert {"entry", "charge"} <= {each.kind for each in figures(world).differences}


# ---------------------------------------------------------------- any sequence of events


@dataclass
class Books:
    """What the payer knows: its payments that stand, and every file it sent."""

    claims: list[dict[str, Any]]
    lines: dict[int, list[dict[str, Any]]]
    standing: list[tuple[dict[str, Any], Paid]] = field(default_factory=list)
    unapplied: int = 0
    sent: int = 0


@st.composite
def payments(draw: st.DrawFn, books: Books) -> Paid:
    """A balanced decision about one of the claims, with or without its lines."""
    claim = draw(st.sampled_from(books.claims))
    books.sent += 1
    made = []
    for line in books.lines[claim["id"]]:
        charge = line["charge_cents"]
        paid = draw(st.integers(0, charge))
        rest, cas = charge - paid, []
        for group, reason in draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True)):
            part = draw(st.integers(0, rest))
            cas.append((group, reason, part))
            rest -= part
        cas[-1] = (*cas[-1][:2], cas[-1][2] + rest)
        made.append((line, paid, cas))
    number, icn = claim["control_number"], f"ICN{books.sent}"
    total, paid = claim["total_cents"], sum(each[1] for each in made)
    if draw(st.booleans()):
        everything = tuple((g, r, dollars(a)) for _, _, cas in made for g, r, a in cas)
        return Paid(number, dollars(total), dollars(paid), cas=everything, icn=icn)
    control = draw(st.booleans())
    lines = tuple(
        Line(
            line["code"],
            dollars(line["charge_cents"]),
            dollars(share),
            tuple((g, r, dollars(a)) for g, r, a in cas),
            control=line["control_number"] if control else "",
        )
        for line, share, cas in made
    )
    return Paid(number, dollars(total), dollars(paid), lines=lines, icn=icn)


def dollars(amount: int) -> str:
    return f"{from_cents(amount):f}"


@st.composite
def remits(draw: st.DrawFn, books: Books) -> Remit:
    """A file of payments, repeated payments, reversals, strangers' payments and provider adjustments."""
    claims: list[Paid] = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(("pay", "pay", "pay twice", "reverse", "reverse", "stranger")))
        if kind == "reverse" and books.standing:
            _, paid = books.standing.pop(draw(st.integers(0, len(books.standing) - 1)))
            claims.append(paid.reversed())
        elif kind == "stranger":
            claims.append(Paid("NOBODYS", "70", "30", cas=(("CO", "45", "40"),), icn="S", member=""))
            books.unapplied += 3000
        else:
            paid = draw(payments(books))
            claims.append(paid)
            claim = next(each for each in books.claims if each["control_number"] == paid.number)
            books.standing.append((claim, paid))
            if kind == "pay twice":
                claims.append(paid)
                books.unapplied += to_cents(Decimal(paid.paid))
    codes = st.sampled_from(("WO:ICN1", "FB", "L6:ICN2", "CS:LETTER", "72:X"))
    plb = draw(st.lists(st.tuples(codes, st.integers(-9999, 9999).filter(bool).map(dollars)), max_size=3))
    books.sent += 1
    return Remit(tuple(claims), tuple(plb), trace=f"EFT{books.sent}")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_sequence_of_remittances_leaves_every_cent_in_its_place(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        desk = Desk(world)
        claims = [desk.claim(f"A{number}", amounts) for number, amounts in enumerate(AMOUNTS)]
        books = Books(claims, {each["id"]: desk.lines(each) for each in claims})
        untouched = {each["id"]: world.balances(claim_id=each["id"]) for each in claims}
        cash = 0
        for _ in range(data.draw(st.integers(1, 4))):
            remit = data.draw(remits(books))
            (row,) = desk.send(remit)
            assert row["state"] == "posted"
            cash += row["amount_cents"]
            _check(world, books, cash)
            before = world.rows(tables.ledger_posting)
            if remit.total:
                (again,) = desk.send(remit)
                assert again["state"] == "duplicate"
                assert world.rows(tables.ledger_posting) == before
        for number, (_, paid) in enumerate(reversed(books.standing)):
            (row,) = desk.send(Remit((paid.reversed(),), trace=f"BACK{number}"))
            assert (row["state"], row["claims_posted"]) == ("posted", 1)
        assert {each["id"]: world.balances(claim_id=each["id"]) for each in claims} == untouched
        assert world.items("denials") == world.items("credits") == []
        assert figures(world).ok
        world.store.dispose()


def _check(world: World, books: Books, cash: int) -> None:
    found = figures(world)
    assert found.ok, [str(each) for each in found.differences]
    world.check_ledger()
    assert found.charges.difference == 0
    assert found.cash == from_cents(cash)
    assert found.clearing == -found.unapplied == -from_cents(books.unapplied)
    for claim in books.claims:
        paid = sum(to_cents(Decimal(each.paid)) for owner, each in books.standing if owner is claim)
        assert world.balances(claim_id=claim["id"]).get("clearing", 0) == paid


# ---------------------------------------------------------------- other people's files


def _corpus() -> list[Path]:
    return sorted((CORPUS / "x12" / "835").glob("*")) if CORPUS.is_dir() else []


@pytest.mark.corpus
@pytest.mark.skipif(not _corpus(), reason="the corpus is absent: set HUB_CORPUS to its folder")
@pytest.mark.parametrize("path", _corpus(), ids=lambda path: path.name)
def test_every_835_of_the_corpus_ends_posted_or_held_for_a_reason(world: World, path: Path) -> None:
    raw = path.read_bytes()
    if not raw.startswith(b"ISA"):
        with pytest.raises(NotAnInterchangeError):
            list(read_transactions(raw))
        return
    transactions = list(read_transactions(raw))
    assert transactions
    header = read_835(transactions[0]).header
    usage = transactions[0].isa.usage
    world.config = replace(
        world.config,
        environment="production" if usage == "P" else "test",
        practice=world.config.practice.model_copy(
            update={"npi": header.payee_npi or "none", "tax_id": header.payee_tax_id or "none"}
        ),
    )
    rows = Desk(world).take(raw)
    assert len(rows) == len(transactions)
    taken = [row for row in rows if row["state"] == "posted"]
    for row in rows:
        assert row["state"] in {"posted", "held", "duplicate"}
        if row["state"] != "posted":
            assert row["reason"].endswith(".")
    claims = world.rows(tables.remittance_claim)
    assert {each["state"] for each in claims} <= {"unmatched", "closed"}
    assert sum(row["amount_cents"] for row in taken) == world.balances().get("cash", 0)
    assert sum(row["claims_cents"] for row in taken) == -world.balances().get("clearing", 0)
    found = figures(world)
    assert found.ok, [str(each) for each in found.differences]
    assert len(world.items("unbalanced remittances")) == sum(row["state"] == "held" for row in rows)


# ---------------------------------------------------------------- the way through the stations


def stations(world: World, day: str = "") -> dict[str, Stage]:
    with reading(world.store) as connection:
        return {stage.name: stage for stage in reconcile.report(connection, day).stages}


def test_each_station_says_what_stands_where_and_whose_it_is(paid_world: Desk) -> None:
    world = paid_world.world
    paid_world.claim("A2")
    found = stations(world)
    waiting = {part.what: (part.owner, part.amount) for part in found["sent"].parts}
    assert waiting == {"sent": ("the partner", from_cents(15000))}
    assert (found["charged"].amount, found["answered"].amount) == (from_cents(30000), from_cents(15000))
    assert {part.what: part.amount for part in found["decided"].parts} == {
        "written down by contract": from_cents(4500),
        "left to the patient": from_cents(2500),
    }
    assert found["remitted"].on_amount == from_cents(8000)
    assert {part.what: part.amount for part in found["remitted"].parts} == {
        "kept back or given outside claims": from_cents(200),
        "not posted": from_cents(7000),
    }


def test_what_was_received_on_another_day_is_not_told_of(paid_world: Desk) -> None:
    world = paid_world.world
    day = world.rows(tables.message)[0]["received_on"]
    assert stations(world, day)["charged"].count == 1
    assert {stage.count for stage in stations(world, "2020-01-01").values()} == {0}


def test_a_charge_whose_claim_line_is_gone_is_lost_with_its_amount(paid_world: Desk) -> None:
    world = paid_world.world
    with world.writing() as connection:
        connection.execute(delete(tables.claim_line))
    station = stations(world)["charged"]
    assert (station.ok, station.lost, station.lost_amount) == (False, 1, from_cents(15000))


def test_a_posted_payment_of_which_the_ehr_was_not_told_is_lost(paid_world: Desk) -> None:
    world = paid_world.world
    assert [part.what for part in stations(world)["posted"].parts] == ["not told"]  # nobody takes payments there
    world.add_message(channel="results_to_ehr", kind="payment", control_id="P1")
    station = stations(world)["posted"]
    assert (station.lost, station.lost_amount) == (1, from_cents(8000))
    said = world.one(tables.remittance_claim, state="posted")
    world.add_message(channel="results_to_ehr", kind="payment", control_id=f"P{said['id']}")
    assert [part.what for part in stations(world)["posted"].parts] == ["on its way"]


def test_every_posted_amount_leads_back_to_its_segment(paid_world: Desk) -> None:
    world = paid_world.world
    message_id = world.one(tables.remittance)["message_id"]
    (entry,) = world.rows(tables.ledger_entry, kind="payment")
    with reading(world.store) as connection:
        places = {
            found.place
            for posting in world.rows(tables.ledger_posting, entry_id=entry["id"])
            if (found := reconcile.origin(connection, entry["id"], posting["ordinal"])) is not None
            and (found.message_id, found.trace) == (message_id, "EFT1")
        }
        assert reconcile.origin(connection, 0, 1) is None
    assert places == {"ISA 000000001, segment 10 SVC"}
