"""The door of a clearinghouse or of a direct payer: takes 837P files, answers them, hands claims on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hub.simulators.acknowledgements import Source, Verdict, ack_999, claim_acknowledgement, ta1
from hub.simulators.books import Books
from hub.simulators.clock import BusinessClock
from hub.simulators.process import reactor
from hub.simulators.sftp_server import Folder
from hub.simulators.world import SUBMITTER, luhn_npi
from hub.simulators.x12 import (
    Claim837,
    Interchange,
    Line837,
    Transaction,
    UnreadableError,
    read_claims,
    read_interchange,
    read_isa,
)

MEMBER_ID = re.compile(r"[A-Z]{1,3}\d{6,10}")
TA1_AFTER = timedelta(minutes=1)
TA1_LATE_AFTER = timedelta(hours=3)
FUNCTIONAL_AFTER = timedelta(minutes=4)
CLAIMS_AFTER = timedelta(minutes=35)
HALF_PAUSE_SECONDS = 1.5
EVERY_NTH_IN_HALVES = 5


class Outbox:
    """The /outbound folder of a door; on request it shows some files half written for a while."""

    def __init__(self, door: str, folder: Folder, books: Books, faults: bool) -> None:
        self._door, self._folder, self._books, self._faults = door, folder, books, faults
        self._count = 0
        self.unfinished = 0

    def put(self, name: str, kind: str, text: str, repeat_of: str = "") -> None:
        """Put a file into /outbound and book it."""
        self._count += 1
        halves = self._faults and self._count % EVERY_NTH_IN_HALVES == 0
        path = self._folder.root / "outbound" / name
        data = text.encode()
        if halves:
            self.unfinished += 1
            path.write_bytes(data[: len(data) // 2])
            reactor.callLater(HALF_PAUSE_SECONDS, self._finish, path, data)
        else:
            temporary = self._folder.root / f".{name}.part"
            temporary.write_bytes(data)
            temporary.rename(path)
        self._books.record(
            "file_out",
            door=self._door,
            name=name,
            type=kind,
            sha256=hashlib.sha256(data).hexdigest(),
            repeat_of=repeat_of,
            halves=halves,
        )

    def _finish(self, path: Path, data: bytes) -> None:
        # A partner that swept the half away still finds the whole file under the same name.
        with path.open("ab") as file:
            if file.tell() == len(data) // 2:
                file.write(data[len(data) // 2 :])
            else:
                file.truncate(0)
                file.write(data)
        self.unfinished -= 1


class Desk:
    """Takes whole files from /inbound and answers each with TA1, 999 and 277CA.

    ``hand_over`` gets the batch id and the accepted claims; ``accepted_status`` is their STC01. A ``careless`` desk
    loses claims, and has its turn at every kind of functional acknowledgement.
    """

    def __init__(
        self,
        *,
        source: Source,
        folder: Folder,
        outbox: Outbox,
        books: Books,
        clock: BusinessClock,
        payers: set[str],
        faults: bool,
        reject_group: bool,
        careless: bool = False,
        accepted_status: str,
        hand_over: Callable[[str, list[Claim837]], None],
    ) -> None:
        self._source, self._folder, self._outbox, self._books = source, folder, outbox, books
        self._clock, self._payers, self._faults = clock, payers, faults
        self._reject_group, self._accepted_status, self._hand_over = reject_group, accepted_status, hand_over
        self._careless = careless
        self._control = 0
        self._seen: set[str] = set()
        self._has_blamed = False
        self._several = 0
        self._pending = 0
        self.files = self.claims_received = self.claims_accepted = 0

    @property
    def busy(self) -> bool:
        """True while an answer is still to be written."""
        return self._pending > 0

    def poll(self) -> None:
        """Take the files of /inbound that are complete: final names that no client holds open."""
        for path in sorted((self._folder.root / "inbound").iterdir()):
            hidden = path.name.startswith(".") or path.suffix in {".tmp", ".part"}
            if hidden or path in self._folder.being_written or not path.is_file():
                continue
            data = path.read_bytes()
            path.unlink()
            self._take(path.name, data)

    def _take(self, name: str, data: bytes) -> None:
        self.files += 1
        digest = hashlib.sha256(data).hexdigest()
        text = data.decode("ascii", errors="replace")
        isa: list[str] = []
        try:
            isa = read_isa(text)
            self._check_envelope(isa)
            interchange = read_interchange(text)
            batches = [read_claims(transaction) for transaction in interchange.transactions]
        except (UnreadableError, ValueError, IndexError) as problem:
            code = problem.code if isinstance(problem, UnreadableError) else "024"
            self._book_file((name, digest), isa, 0, "rejected_ta1", code)
            if len(isa) > 13:
                self._later(TA1_AFTER, self._answer_ta1, isa, code)
            return
        self._seen.add(isa[13])
        rejected = self._refused_transaction(interchange)
        blamed = self._blamed(batches) if rejected is None else ""
        if blamed:
            rejected = interchange.transactions[0]
        outcome = "accepted" if rejected is None else "rejected_999"
        self._book_file((name, digest), isa, sum(len(claims) for _, claims in batches), outcome, "")
        if isa[14] == "1":
            late = self._faults and self.files == 2
            self._later(TA1_LATE_AFTER if late else TA1_AFTER, self._answer_ta1, isa, "000")
        for group in dict.fromkeys(each.group_control for each in interchange.transactions):
            members = [each for each in interchange.transactions if each.group_control == group]
            self._later(FUNCTIONAL_AFTER, self._answer_999, members, rejected, blamed, self.files)
        for transaction, (batch, claims) in zip(interchange.transactions, batches, strict=True):
            if transaction is not rejected:
                self._judge(isa[13], batch, self._kept(isa[13], claims))

    def _check_envelope(self, isa: list[str]) -> None:
        if isa[6].strip() != SUBMITTER:
            raise UnreadableError("006", "unknown sender")
        if isa[8].strip() != self._source.door:
            raise UnreadableError("008", "not our receiver id")
        if isa[15] != "T":
            raise UnreadableError("020", "this is the test system")
        if isa[13] in self._seen:
            raise UnreadableError("025", "interchange control number seen before")

    def _refused_transaction(self, interchange: Interchange) -> Transaction | None:
        """Choose the transaction that the 999 refuses as a whole: once, and only where it was asked for."""
        if not self._reject_group:
            return None
        self._reject_group = False
        return interchange.transactions[0]

    def _blamed(self, batches: list[tuple[str, list[Claim837]]]) -> str:
        """Choose the claim that a careless desk cannot read, which has its whole file sent back; once."""
        claims = batches[0][1] if batches else []
        if not self._careless or self._has_blamed or len(claims) < 2:
            return ""
        self._has_blamed = True
        self._books.record("claim_blamed", door=self._source.door, pcn=claims[0].pcn)
        return claims[0].pcn

    def _kept(self, isa13: str, claims: list[Claim837]) -> list[Claim837]:
        """What a careless desk does not lose: of every third file of several claims the last goes astray."""
        if not self._careless or len(claims) < 2:
            return claims
        self._several += 1
        if self._several % 3 != 1:
            return claims
        lost = claims[-1]
        self._books.record(
            "claim_lost",
            door=self._source.door,
            pcn=lost.pcn,
            charge_cents=lost.charge,
            isa13=isa13,
            payer=lost.payer_id,
        )
        return claims[:-1]

    def _judge(self, isa13: str, batch: str, claims: list[Claim837]) -> None:
        verdicts = [self._verdict(claim) for claim in claims]
        for verdict in verdicts:
            claim = verdict.claim
            self.claims_received += 1
            self.claims_accepted += verdict.accepted
            self._books.record(
                "claim",
                door=self._source.door,
                pcn=claim.pcn,
                charge_cents=claim.charge,
                payer=claim.payer_id,
                frequency=claim.frequency,
                isa13=isa13,
                lines=[_line_entry(line) for line in claim.lines],
                **_identities(claim),
                accepted=verdict.accepted,
                reason="" if verdict.accepted else verdict.status,
            )
        self._later(CLAIMS_AFTER, self._answer_277, batch, verdicts)

    def _verdict(self, claim: Claim837) -> Verdict:
        if claim.payer_id not in self._payers:
            return Verdict(claim, "A3:116", False, "PAYER ID IS NOT ON OUR LIST")
        if not MEMBER_ID.fullmatch(claim.member_id):
            return Verdict(claim, "A7:164:IL", False, "MEMBER ID IS NOT VALID FOR THIS PAYER")
        if not luhn_npi(claim.billing_npi):
            return Verdict(claim, "A7:562:85", False, "BILLING PROVIDER NPI FAILS ITS CHECK DIGIT")
        if claim.rendering_npi and not luhn_npi(claim.rendering_npi):
            return Verdict(claim, "A7:562:82", False, "RENDERING PROVIDER NPI FAILS ITS CHECK DIGIT")
        if not claim.diagnoses:
            return Verdict(claim, "A6:254", False, "PRINCIPAL DIAGNOSIS IS MISSING")
        return Verdict(claim, self._accepted_status, True)

    def _answer_ta1(self, isa: list[str], code: str) -> None:
        control, when = self._next(), self._clock.now()
        self._outbox.put(f"{isa[13]}_{control}.ta1", "TA1", ta1(self._source, control, when, isa, code))

    def _answer_999(
        self, transactions: list[Transaction], rejected: Transaction | None, blamed: str, number: int
    ) -> None:
        control, when = self._next(), self._clock.now()
        old = self._careless and number % 4 == 3
        with_errors = self._careless and number % 4 == 0
        text = ack_999(
            self._source, control, when, transactions, rejected, blamed=blamed, with_errors=with_errors, old=old
        )
        kind = "997" if old else "999"
        self._outbox.put(f"{transactions[0].group_control}_{control}.{kind}", kind, text)

    def _answer_277(self, batch: str, verdicts: list[Verdict]) -> None:
        control, when = self._next(), self._clock.now()
        text = claim_acknowledgement(self._source, control, when, batch, verdicts)
        self._outbox.put(f"{self._source.identifier}_{control}.277", "277CA", text)
        accepted = [verdict.claim for verdict in verdicts if verdict.accepted]
        if accepted:
            self._hand_over(batch, accepted)

    def _next(self) -> int:
        self._control += 1
        return self._control

    def _later(self, delay: timedelta, action: Callable[..., None], *args: Any) -> None:
        self._pending += 1

        def act() -> None:
            self._pending -= 1
            action(*args)

        reactor.callLater(self._clock.real_delay(self._clock.now() + delay), act)

    def _book_file(self, file: tuple[str, str], isa: list[str], claims: int, outcome: str, reason: str) -> None:
        self._books.record(
            "file_in",
            door=self._source.door,
            name=file[0],
            sha256=file[1],
            isa13=isa[13] if len(isa) > 13 else "",
            claims=claims,
            outcome=outcome,
            reason=reason,
        )


def _line_entry(line: Line837) -> dict[str, Any]:
    """What the books say about a line: everything that its sender must not have changed."""
    return {
        "control": line.control,
        "code": line.code,
        "revenue": line.revenue,
        "modifiers": line.modifiers,
        "units": line.units,
        "date": line.date,
        "charge_cents": line.charge,
    }


def _identities(claim: Claim837) -> dict[str, Any]:
    """Whom the claim is about, and who did it."""
    return {
        "sequence": claim.sequence,
        "member": claim.member_id,
        "patient": [*claim.patient[:2], claim.birth, claim.sex],
        "diagnoses": claim.diagnoses,
        "rendering": claim.rendering_npi,
    }
