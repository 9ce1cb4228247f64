"""Our own TA1 and 999 for what a partner sent us, where its file says that it wants them.

They go out like batches: emitted, and sent by the channel that takes the kinds ``TA1`` and ``999``. Acknowledgements
are never acknowledged, and neither are interchanges of the other environment.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.billing import batches
from hub.billing.config import Partner
from hub.billing.decision import Decision
from hub.core.clock import at
from hub.formats.x12.acks import write_999, write_ta1
from hub.formats.x12.envelope import Interchange
from hub.formats.x12.writer import Envelope
from hub.store.changes import Emit

_FUNCTIONAL = "FA"  # GS01 of acknowledgements: answering them would never end


def answer(decision: Decision, name: str, received: Sequence[Interchange]) -> None:
    """Emit what the partner *name* wants to hear of the interchanges that it sent in one file."""
    partner = decision.config.partners.get(name)
    if partner is None or not (partner.wants and batches.may_write(decision, partner)):
        return
    for interchange in received:
        if interchange.isa.usage != batches.USAGE[decision.config.environment]:
            continue
        transactions = [each for each in interchange.transactions if each.gs.functional_id != _FUNCTIONAL]
        if len(transactions) != len(interchange.transactions) or interchange.acknowledgements:
            continue
        if "TA1" in partner.wants and interchange.isa.acknowledgement_requested:
            envelope = _envelope(decision, partner)
            _emit(decision, partner, "TA1", envelope, write_ta1(envelope, interchange))
        if "999" in partner.wants and transactions:
            envelope = _envelope(decision, partner)
            _emit(decision, partner, "999", envelope, write_999(envelope, transactions))


def _envelope(decision: Decision, partner: Partner) -> Envelope:
    envelope = Envelope(
        sender=partner.submitter_id,
        receiver=partner.receiver_id,
        at=at(decision.now_ms, decision.clock.zone),
        interchange_control=batches.next_number(decision, partner.name, "interchange"),
        group_control=batches.next_number(decision, partner.name, "group"),
        usage=batches.USAGE[partner.environment],
        sender_qualifier=partner.submitter_qualifier,
        receiver_qualifier=partner.receiver_qualifier,
    )
    return batches.admitted(decision, partner, envelope)


def _emit(decision: Decision, partner: Partner, kind: str, envelope: Envelope, written: bytes) -> None:
    name = f"{kind}{envelope.interchange_control:09d}"
    decision.changes.emits.append(Emit(kind=kind, body=written, lane=partner.name, name=name))
