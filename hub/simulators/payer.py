"""The payers behind the clearinghouse, and one that is reached directly: they judge claims and write 835s.

Run it by ``python -m hub.simulators.payer CONFIG.json``. The configuration is the clearinghouse's
(``clock``, ``user``, ``authorized_key``, ``sftp_root`` for the direct payer's own server, ``exchange``,
``ready``, ``books``, ``summary``, and optionally ``seed``, ``faults``, ``listen``) with, optionally,
``pay_days`` (``[5, 9]``: business days from receipt to payment) and
``world`` (``whole``: twelve payers, forty kinds of denials, weekly payment runs, lost files). The ready file says
``sftp_port`` and
``known_hosts``.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from hub.simulators.acknowledgements import Source, Verdict, claim_acknowledgement
from hub.simulators.adjudication import Adjudicator, Adjustment, Decision, PaidLine, crossed_over
from hub.simulators.books import Books, write_atomically
from hub.simulators.clock import BusinessClock
from hub.simulators.desk import Desk, Outbox
from hub.simulators.process import reactor, run
from hub.simulators.remittance import ProviderAdjustment, Remittance, write_835
from hub.simulators.sftp_server import Folder, SftpServer
from hub.simulators.whole_world import DENIED_PERCENT, FORTY_DENIALS, enlarge
from hub.simulators.world import CLEARINGHOUSE, GRANITE, PAYERS, Payer
from hub.simulators.x12 import Claim837, Line837

POLL_SECONDS = 0.1
RUN_HOUR = 18
ACKNOWLEDGE_AFTER = timedelta(hours=20)
GOOD_COPY_AFTER = timedelta(hours=20)
REJECT_PERCENT = 2
REJECTIONS = (("A3:33", "SUBSCRIBER NOT FOUND"), ("A7:164:IL", "MEMBER ID DOES NOT MATCH THE SUBSCRIBER"))
REVERSE_PERCENT = 4
INTEREST_PERCENT = 5
LOST_EVERY, LOST_FOR = 11, timedelta(days=12)
DAMAGE_PERCENT = 6
SUPPLEMENT = "90003"  # whom Medicare passes claims on to
# The payers' files travel in the clearinghouse's envelopes and must not use its numbers.
FIRST_CONTROL = 500_000_000


@dataclass(frozen=True, slots=True)
class Due:
    """A claim that will be judged in the first payment run after a time."""

    when: datetime
    claim: Claim837
    icn: str


@dataclass(slots=True)
class Desktop:
    """What one payer has on its desk, and what it owes or is owed."""

    payer: Payer
    adjudicator: Adjudicator
    waiting: list[Due] = field(default_factory=list)
    # A reversal and its correction; the correction alone when the reversal went out before.
    second_thoughts: list[tuple[datetime, tuple[Decision, ...]]] = field(default_factory=list)
    decided: dict[str, Decision] = field(default_factory=dict)
    take_backs: list[ProviderAdjustment] = field(default_factory=list)
    forwarded_balance: int = 0
    traces: int = 0


class PayerHouse:
    """The payer process: five payers, four of them behind the clearinghouse."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._clock = BusinessClock.from_config(config["clock"])
        self._seed = int(config.get("seed", 1))
        self._faults = bool(config.get("faults"))
        self._pay_days: tuple[int, int] = tuple(config.get("pay_days", (5, 9)))
        self._exchange = Path(config["exchange"])
        for name in ("to_payer", "from_payer"):
            (self._exchange / name).mkdir(parents=True, exist_ok=True)
        self._whole = config.get("world") == "whole"
        if self._whole:
            enlarge()
        habits = (FORTY_DENIALS, DENIED_PERCENT) if self._whole else ()
        self._desks = {
            payer_id: Desktop(payer, Adjudicator(payer, self._seed, *habits)) for payer_id, payer in PAYERS.items()
        }
        self._books = Books(Path(config["books"]), Path(config["summary"]), self._clock, self.summary)
        folder = Folder(Path(config["sftp_root"]))
        self._outbox = Outbox(GRANITE, folder, self._books, self._faults)
        granite = next(payer for payer in PAYERS.values() if payer.receiver == GRANITE)
        self._door = Desk(
            source=Source(GRANITE, "PR", granite.name, granite.payer_id),
            folder=folder,
            outbox=self._outbox,
            books=self._books,
            clock=self._clock,
            payers={granite.payer_id},
            faults=self._faults,
            reject_group=False,
            accepted_status="A1:19:PR",
            hand_over=self._receive,
        )
        self._server = SftpServer(folder, config["user"], config["authorized_key"], lambda: False)
        self._port = int(config.get("listen", {}).get("sftp_port", 0))
        self._poller = LoopingCall(self._poll)
        self._next_run = _run_after(self._clock.business_epoch)
        self._control = FIRST_CONTROL
        self._claims = self._unsent = 0
        self._counts: Counter[str] = Counter()
        self._positions: dict[tuple[str, str], dict[str, Any]] = {}
        self._spoiled = self._foreign = False

    def start(self) -> dict[str, Any]:
        """Listen and begin to work; returns the direct server's port and known_hosts line."""
        port = self._server.listen(self._port)
        self._books.start()
        self._poller.start(POLL_SECONDS)
        return {"sftp_port": port, "known_hosts": self._server.known_hosts_line()}

    def stop(self) -> None:
        """Stop working and close the books."""
        self._poller.stop()
        self._books.stop()

    def summary(self) -> dict[str, Any]:
        """Return the counts for progress displays."""
        open_work = sum(len(desk.waiting) + len(desk.second_thoughts) for desk in self._desks.values())
        waiting = any((self._exchange / "to_payer").iterdir())
        busy = open_work or self._unsent or waiting or self._door.busy or self._outbox.unfinished
        names = ("received", "rejected", "adjudicated", "remittances", "reversals", "paid_cents")
        return {name: self._counts[name] for name in names} | {"waiting": open_work, "idle": not busy}

    def _poll(self) -> None:
        self._door.poll()
        for path in sorted((self._exchange / "to_payer").iterdir()):
            if not path.name.startswith("."):
                message = json.loads(path.read_text())
                path.unlink()
                self._receive(message["batch"], [Claim837.from_json(each) for each in message["claims"]])
        while self._clock.now() >= self._next_run:
            for number, desk in enumerate(self._desks.values()):
                # In the whole world each payer pays once a week, on a day of its own.
                if not self._whole or self._next_run.weekday() == number % 5:
                    self._pay(desk, self._next_run)
            self._next_run = _run_after(self._next_run)

    # Receiving

    def _receive(self, batch: str, claims: list[Claim837]) -> None:
        """Take claims in, and acknowledge them the next day, payer by payer."""
        for payer_id in dict.fromkeys(claim.payer_id for claim in claims):
            desk = self._desks[payer_id]
            verdicts = [self._verdict(desk, claim) for claim in claims if claim.payer_id == payer_id]
            self._later(ACKNOWLEDGE_AFTER, self._acknowledge, desk.payer, batch, verdicts)

    def _verdict(self, desk: Desktop, claim: Claim837) -> Verdict:
        self._counts["received"] += 1
        self._claims += 1
        icn = f"ICN{self._clock.now():%Y%m%d}{self._claims:05d}"
        rng = self._rng("receive", claim)
        verdict = Verdict(claim, "A2:20:PR", True, icn=icn)
        if claim.frequency in {"7", "8"}:
            if not self._knows(desk, claim.original_icn):
                verdict = Verdict(claim, "A7:464", False, "ORIGINAL CLAIM NUMBER NOT FOUND")
        elif rng.random() * 100 < REJECT_PERCENT:
            status, text = rng.choice(REJECTIONS)
            verdict = Verdict(claim, status, False, text)
            if self._faults and status.startswith("A7"):  # said of a line, as some payers do, with a second reason
                verdict = Verdict(claim, "A3:247", False, text, line_status=status, second="A7:21")
        self._books.record(
            "received",
            pcn=claim.pcn,
            payer=claim.payer_id,
            charge_cents=claim.charge,
            frequency=claim.frequency,
            icn=verdict.icn,
            accepted=verdict.accepted,
            reason="" if verdict.accepted else verdict.status,
        )
        if verdict.accepted:
            days = timedelta(days=rng.uniform(*self._pay_days))
            desk.waiting.append(Due(self._clock.now() + days, claim, icn))
        else:
            self._counts["rejected"] += 1
        return verdict

    def _knows(self, desk: Desktop, icn: str) -> bool:
        return icn in desk.decided or any(due.icn == icn for due in desk.waiting)

    def _acknowledge(self, payer: Payer, batch: str, verdicts: list[Verdict]) -> None:
        source = Source(payer.receiver, "PR", payer.name, payer.payer_id)
        control = self._next_control()
        text = claim_acknowledgement(source, control, self._clock.now(), batch, verdicts)
        self._send(payer, f"{payer.payer_id}_{control}.277", "277CA", text)

    # Paying

    def _pay(self, desk: Desktop, when: datetime) -> None:
        """Write one 835 with everything that is due at one payer."""
        decisions = self._due_decisions(desk, when)
        if not decisions:
            return
        rng = random.Random(f"{self._seed}|run|{desk.payer.payer_id}|{when:%Y%m%d}")
        remittance = self._settle(desk, tuple(decisions), when, rng)
        for decision in decisions:
            self._post(desk.payer, decision)
        spoil = self._faults and not self._spoiled and len(decisions) > 1
        if spoil:
            self._spoiled = True
            self._write(remittance, when, skew=1000)
            self._later(GOOD_COPY_AFTER, self._write, remittance, when)
        else:
            self._write(remittance, when)
        if self._faults and not self._foreign:
            self._foreign = True
            self._write(self._somebody_elses(desk, when), when, foreign=True)

    def _due_decisions(self, desk: Desktop, when: datetime) -> list[Decision]:
        decisions: list[Decision] = []
        due = [each for each in desk.waiting if each.when <= when]
        due.sort(key=lambda each: each.claim.frequency)  # what is replaced comes before its replacement
        desk.waiting = [each for each in desk.waiting if each.when > when]
        for each in due:
            decisions += self._decide(desk, each, when)
        thoughts = [each for moment, each in desk.second_thoughts if moment <= when]
        desk.second_thoughts = [each for each in desk.second_thoughts if each[0] > when]
        for decision in (each for group in thoughts for each in group):
            if decision.status == "22":
                desk.decided.pop(decision.icn, None)
            else:
                desk.decided[decision.icn] = decision
            decisions.append(decision)
        return decisions

    def _decide(self, desk: Desktop, due: Due, when: datetime) -> list[Decision]:
        claim, rng = due.claim, self._rng("pay", due.claim)
        found: list[Decision] = []
        if claim.frequency in {"7", "8"}:
            # What it replaces is taken back if it was decided, and never decided if it was not.
            desk.waiting = [each for each in desk.waiting if each.icn != claim.original_icn]
            before = desk.decided.pop(claim.original_icn, None)
            if before is not None:
                found.append(before.reversed())
            desk.second_thoughts = [each for each in desk.second_thoughts if each[1][0].icn != claim.original_icn]
        if claim.frequency == "8":
            return found
        decision = desk.adjudicator.decide(claim, due.icn)
        self._counts["adjudicated"] += 1
        if self._faults and rng.random() * 100 < DAMAGE_PERCENT:
            decision = replace(decision, sent_pcn=_damaged(claim.pcn, rng))
        if decision.paid > 0 and rng.random() * 100 < INTEREST_PERCENT:
            decision = replace(decision, interest=max(1, decision.paid // 100))
        desk.decided[due.icn] = decision
        if decision.status == "19":
            self._pass_on(decision, when)
        if rng.random() * 100 < REVERSE_PERCENT:
            self._think_again(desk, decision, when, rng)
        return [*found, decision]

    def _pass_on(self, decision: Decision, when: datetime) -> None:
        """Hand a claim to the supplement's payer, which pays it under the number that the provider gave it."""
        self._claims += 1
        icn = f"ICN{self._clock.now():%Y%m%d}{self._claims:05d}"
        claim = crossed_over(decision, SUPPLEMENT)
        days = timedelta(days=self._rng("pass on", claim).uniform(*self._pay_days))
        self._desks[SUPPLEMENT].waiting.append(Due(when + days, claim, icn))
        self._books.record("crossover", pcn=claim.pcn, payer=SUPPLEMENT, charge_cents=claim.charge, icn=icn)

    def _think_again(self, desk: Desktop, decision: Decision, when: datetime, rng: random.Random) -> None:
        """Plan a reversal and a correction, in one file or in two."""
        plain = replace(decision, sent_pcn="")
        correction = desk.adjudicator.better(plain)
        first = when + timedelta(days=rng.randint(2, 4))
        pair = (plain.reversed(), correction)
        if rng.random() < 0.5:
            desk.second_thoughts.append((first, pair))
        else:
            desk.second_thoughts.append((first, pair[:1]))
            desk.second_thoughts.append((first + timedelta(days=1), pair[1:]))

    def _settle(self, desk: Desktop, decisions: tuple[Decision, ...], when: datetime, rng: random.Random) -> Remittance:
        """Add what is settled with the provider and not with a claim; nobody pays less than nothing."""
        adjustments = [
            ProviderAdjustment("L6", decision.icn, -decision.interest) for decision in decisions if decision.interest
        ]
        adjustments += desk.take_backs
        desk.take_backs = []
        for decision in decisions:
            # Sometimes a payer leaves the money of a reversal alone today and takes it next time.
            if decision.status == "22" and decision.paid < 0 and rng.random() < 0.4:
                adjustments.append(ProviderAdjustment("WO", decision.icn, decision.paid))
                desk.take_backs.append(ProviderAdjustment("WO", decision.icn, -decision.paid))
        if rng.random() < 0.12:
            adjustments.append(ProviderAdjustment("CS", "", rng.choice([500, -1250, 275])))
        if desk.forwarded_balance:
            adjustments.append(ProviderAdjustment("FB", "", desk.forwarded_balance))
            desk.forwarded_balance = 0
        desk.traces += 1
        trace = f"{desk.payer.card_series}{when:%y%m%d}{desk.traces:04d}"
        remittance = Remittance(desk.payer, trace, decisions, tuple(adjustments))
        if remittance.amount < 0:
            desk.forwarded_balance = -remittance.amount
            adjustments.append(ProviderAdjustment("FB", "", remittance.amount))
            remittance = replace(remittance, provider_adjustments=tuple(adjustments))
        return remittance

    def _somebody_elses(self, desk: Desktop, when: datetime) -> Remittance:
        """A payment for a claim that this practice never sent."""
        line = Line837("1", "99213", [], 12000, "1", f"{when - timedelta(days=20):%Y%m%d}", "STRANGER1L01")
        claim = Claim837(
            pcn="STRANGER1",
            charge=12000,
            place="11",
            frequency="1",
            member_id="XX1234567",
            patient=["STRANGER", "PERFECT", ""],
            lines=[line],
        )
        paid = PaidLine(line, 12000, 7000, (Adjustment("CO", "45", 5000),), 7000, "1")
        desk.traces += 1
        trace = f"{desk.payer.card_series}{when:%y%m%d}{desk.traces:04d}"
        return Remittance(desk.payer, trace, (Decision(claim, "ICN00000000001", "1", (paid,)),))

    def _write(self, remittance: Remittance, when: datetime, *, skew: int = 0, foreign: bool = False) -> None:
        payer, control = remittance.payer, self._next_control()
        name = f"{payer.payer_id}_{remittance.trace}_{control}.835"
        text = write_835(remittance, payer.receiver, control, when, skew)
        self._counts["remittances"] += 1
        if not skew:
            self._counts["paid_cents"] += remittance.amount
        self._books.record(
            "remittance",
            payer=payer.payer_id,
            trace=remittance.trace,
            amount_cents=remittance.amount,
            file=name,
            balanced=not skew,
            counts=not skew,
            foreign=foreign,
            door=payer.receiver,
            plb=[
                {"reason": each.reason, "reference": each.reference, "amount_cents": each.amount}
                for each in remittance.provider_adjustments
            ],
            claims=[decision.entry() for decision in remittance.decisions],
        )
        lost = self._whole and self._faults and control % LOST_EVERY == 0
        if lost:  # on the way; after the practice asked, the same file comes
            self._books.record("fault", fault="lost_file", file=name)
            self._later(LOST_FOR, self._send, payer, name, "835", text)
        else:
            self._send(payer, name, "835", text)

    def _post(self, payer: Payer, decision: Decision) -> None:
        """Keep the running totals of a claim."""
        self._counts["reversals"] += decision.status == "22"
        pcn = decision.claim.pcn
        position = self._positions.setdefault(
            (pcn, payer.payer_id),
            {"pcn": pcn, "payer": payer.payer_id, "charge_cents": 0, "paid_cents": 0, "patient_cents": 0},
        )
        position["charge_cents"] += decision.charge
        position["paid_cents"] += decision.paid
        position["patient_cents"] += decision.patient
        totals: dict[str, int] = position.setdefault("adjustments", {})
        for line in decision.lines:
            for each in line.adjustments:
                key = f"{each.group}-{each.reason}"
                totals[key] = totals.get(key, 0) + each.amount
        self._books.record("position", **position)

    # Sending

    def _send(self, payer: Payer, name: str, kind: str, text: str) -> None:
        if payer.receiver == CLEARINGHOUSE:
            write_atomically(self._exchange / "from_payer" / name, text)
        else:
            self._outbox.put(name, kind, text)

    def _next_control(self) -> int:
        self._control += 1
        return self._control

    def _rng(self, purpose: str, claim: Claim837) -> random.Random:
        """Chance that depends on what is claimed and not on when, or under which number, it came."""
        what = f"{claim.member_id}|{claim.service_date}|{claim.charge}|{claim.frequency}|{claim.rendering_npi}"
        return random.Random(f"{self._seed}|{purpose}|{what}|{','.join(claim.patient)}")

    def _later(self, delay: timedelta, action: Any, *args: Any) -> None:
        self._unsent += 1

        def act() -> None:
            self._unsent -= 1
            action(*args)

        reactor.callLater(self._clock.real_delay(self._clock.now() + delay), act)


def _run_after(moment: datetime) -> datetime:
    """Return the next weekday's payment run after a time."""
    run_time = moment.replace(hour=RUN_HOUR, minute=0, second=0, microsecond=0)
    while run_time <= moment or run_time.weekday() >= 5:
        run_time += timedelta(days=1)
    return run_time


def _damaged(pcn: str, rng: random.Random) -> str:
    """Write a control number as careless payers do: lower case, cut short, or with zeros before it."""
    return rng.choice([pcn.lower(), pcn[: max(4, len(pcn) - 3)], f"000{pcn}"])


if __name__ == "__main__":
    run(PayerHouse)
