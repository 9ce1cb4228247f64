"""The simulators' own books, against which the demo reconciles the hub.

A book is a file of JSON lines, only ever appended to. Every entry has ``n`` (1, 2, 3, ...), ``kind`` and
``at`` (business time, ISO 8601); all amounts are integer cents in fields that end in ``_cents``. Beside
it stands a ``summary``, one JSON object rewritten atomically twice a second, for progress displays.

The EHR writes

``message``
    an MLLP message that got its final answer: ``control``, ``type`` (``DFT^P03``), ``account``, ``mrn``,
    ``visit``, ``ack`` (``AA``, ``AE``, ...), ``text`` (MSA-3), ``attempts``, ``fault`` (the name of the
    mischief, or empty), ``sha256``.
``malformed``
    unreadable bytes sent on purpose: ``variant``, ``answer`` (acknowledgement code, or empty for none),
    ``sha256``.
``charge``
    a charge carried by an acknowledged message or notification: ``transaction``, ``version``,
    ``account``, ``visit``, ``mrn``, ``service_date``, ``code``, ``modifiers``, ``units``,
    ``amount_cents`` (extended), ``payer`` (id, or empty for self-pay), ``expected`` (below), ``reason``,
    ``via`` (``mllp``, ``fhir-full``, ``fhir-id-only``), ``control``, ``revenue`` (a hospital's code),
    ``diagnoses`` (without points), ``performer`` (NPI), and as in ``registration``: ``person``, ``patient``,
    ``members``. The highest ``version`` of a transaction is what counts; ``expected`` is ``billable``, ``self_pay``,
    ``credited_before`` (a credit follows before billing: on no claim), ``credited_after`` (billed; a credit follows:
    a queue), ``queue`` (``reason``: ``unknown_department``, ``missing_performer``, ``unknown_payer``), ``rejected``
    (``reason`` ``invalid_member``: billed, and refused by the clearinghouse) or ``duplicate`` (the same charge again
    in another message: nothing new).
``registration``
    what an update of the registration said anew: ``person`` (the record number that stays), ``patient`` (family and
    given name, birth date, sex), ``members`` (the cards' numbers).
``credit``
    a credit carried by an acknowledged message: ``transaction``, ``credits`` (the charge's transaction),
    ``account``, ``amount_cents`` (positive), ``when`` (``before`` or ``after``), ``control``.
``notification``
    a FHIR notification that was accepted: ``event`` (its event number), ``encounter`` (visit number),
    ``account``, ``payload`` (``full-resource``, ``id-only``), ``status`` (HTTP), ``attempts``, ``fault``
    (empty, ``repeated`` or ``out_of_order``), ``repeat`` (the second sending of the same bytes: its
    charges are booked once, with the first).
``result``
    a message that came back over MLLP and was booked: ``control``, ``type``, ``account``, ``status``
    (PV1-41), ``lines`` (each ``transaction`` FT1-31, ``own`` FT1-2, ``line_type`` FT1-6, ``code`` FT1-7,
    ``amount_cents``, ``trace`` FT1-30), ``repeat`` (the same control id was booked before: count it
    once), ``answer`` (what was done: ``AA``, ``late``, ``twice``, ``wrong_control``, ``closed``).
``refused``
    a message that came back and was not booked: ``control``, ``type``, ``account``, ``answer`` (``AR``:
    it may come again; ``AE``: it may not).
``claim_response``, ``explanation``, ``reconciliation``
    a FHIR ClaimResponse, ExplanationOfBenefit or PaymentReconciliation that was created or updated: ``id``,
    ``identifier``, ``repeat`` (the identifier was booked before), ``changed`` (and stands in place of what was
    booked then), ``resource``. The newest of an ``id`` is what stands.
``fault``
    something done on purpose that no other entry shows: ``fault`` and a few details.

The clearinghouse (and the payer, for its direct door; ``door`` is ``CLEARWAY01`` or ``GRANITE01``) writes

``file_in``
    a file taken from /inbound: ``door``, ``name``, ``sha256``, ``isa13``, ``claims``, ``outcome``
    (``accepted``, ``rejected_ta1``, ``rejected_999``), ``reason``.
``claim``
    a claim read from it: ``door``, ``pcn``, ``charge_cents``, ``payer``, ``frequency``, ``isa13``,
    ``lines`` (each ``control``, ``code``, ``revenue``, ``modifiers``, ``units``, ``date``, ``charge_cents``),
    ``sequence`` (SBR01), ``member``, ``patient`` (as above), ``diagnoses``, ``rendering``, ``accepted``, ``reason``
    (the STC01 of a rejection, or empty).
``file_out``
    a file put into /outbound: ``door``, ``name``, ``type`` (``TA1``, ``999``, ``277CA``, ``835``),
    ``sha256``, ``repeat_of`` (name, or empty), ``halves``.
``fault``
    as above.

The payer writes

``received``
    a claim handed to the payer: ``pcn``, ``payer``, ``charge_cents``, ``frequency``, ``icn`` (its claim
    control number), ``accepted``, ``reason``.
``crossover``
    a claim that one payer passed on to another, which pays it under the same number: ``pcn``, ``payer`` (the other),
    ``charge_cents``, ``icn``.
``remittance``
    an 835 it wrote: ``payer``, ``trace``, ``amount_cents`` (BPR02), ``file``, ``balanced``, ``counts``
    (false for one that does not balance: the good one with the same trace follows), ``foreign`` (for a
    claim nobody sent), ``door``, ``plb`` (each ``reason``, ``reference``, ``amount_cents`` as in the
    segment: positive takes money away), ``claims`` (each ``pcn`` as the claim was sent, ``sent_pcn`` as
    CLP01 says it, ``status`` CLP02, ``charge_cents``, ``paid_cents``, ``patient_cents``, ``icn``,
    ``interest_cents``, ``lines``: each ``control``, ``code``, ``charge_cents``, ``paid_cents``,
    ``adjustments``: list of ``[group, reason, cents]``). Reversals carry negative amounts, so the sum
    over all entries that count is the net.
``position``
    the payer's running totals for a claim after that: ``pcn``, ``payer``, ``charge_cents``,
    ``paid_cents``, ``patient_cents``, ``adjustments`` (``{"CO-45": cents}``). The last one of a claim
    and payer holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from hub.simulators.clock import BusinessClock

FLUSH_SECONDS = 0.05
SUMMARY_SECONDS = 0.5


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that a reader sees the old or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(text)
    temporary.replace(path)


class Books:
    """An append-only journal in JSON lines, synced in small batches, and its summary."""

    def __init__(
        self, path: Path, summary: Path, clock: BusinessClock, summarise: Callable[[], dict[str, Any]]
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        self._summary = summary
        self._clock = clock
        self._summarise = summarise
        self._pending: list[str] = []
        self._count = 0
        self._flusher = LoopingCall(self.flush)
        self._summariser = LoopingCall(self._write_summary)

    def start(self) -> None:
        """Begin to write: entries every few hundredths of a second, the summary every half second."""
        self._flusher.start(FLUSH_SECONDS, now=False)
        self._summariser.start(SUMMARY_SECONDS)

    def record(self, kind: str, **fields: Any) -> None:
        """Append one entry; the fields of each kind are listed in the module's docstring."""
        self._count += 1
        entry = {"n": self._count, "kind": kind, "at": self._clock.now().isoformat(timespec="seconds")}
        self._pending.append(json.dumps(entry | fields, separators=(",", ":")))

    def flush(self) -> None:
        """Write and sync what has been recorded since the last time."""
        if not self._pending:
            return
        lines, self._pending = self._pending, []
        self._file.write("\n".join(lines) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def stop(self) -> None:
        """Write everything that is left and close the book."""
        for call in (self._flusher, self._summariser):
            if call.running:
                call.stop()
        self.flush()
        self._write_summary()
        self._file.close()

    def _write_summary(self) -> None:
        summary = {"at": self._clock.now().isoformat(timespec="seconds"), "entries": self._count}
        write_atomically(self._summary, json.dumps(summary | self._summarise()))
