"""Payments, adjustments and denials as DFT^P03 for Epic's incoming financial interface."""

from collections.abc import Iterator
from decimal import Decimal

from hub.scripting import Builder, Event, Outgoing, Skip, mapping, table

from .interface import (
    ADJUSTMENT,
    DENIAL,
    EPIC_APPLICATION,
    EPIC_FACILITY,
    OUR_APPLICATION,
    OUR_FACILITY,
    PAYMENT,
    PROCESSING_ID,
    RECORD_TYPE,
)

POSTINGS = table("epic/postings.csv", key="what")
"""Epic's own posting code for a payment, for each claim adjustment group, and for a denial."""


@mapping(accepts="payment", returns=Outgoing)
def payment(event: Event) -> Outgoing | Skip:
    """One DFT^P03 per posted claim: what the payer paid on each line, and what it adjusted and why."""
    moved = list(transactions(event))
    if not moved:
        return Skip(event, "nothing was paid or adjusted; what is refused is told as denials")
    message = begin(event)
    for number, (line, kind, what, reason, amount) in enumerate(moved, 1):
        message.add(
            "FT1",
            {
                "1": number,
                "2": f"{event['result']}-{number}",
                "4": event.fields({"on": "posted_on | date"})["on"],
                "6": kind,
                "7.1": posting_code(what),
                "7.2": reason,
                "8": f"Takes back {event['reverses']}." if event["reverses"] else "",
                "10": 1,
                "11.1": amount,
                "14": event["payer_id"],
                "30": event["trace"],
                "31": line["transaction"],
            },
        )
    return Outgoing(kind="DFT^P03", body=message, name=event["result"])


@mapping(accepts="denial", returns=Outgoing)
def denial(event: Event) -> Outgoing | Skip:
    """One DFT^P03 per denial, which moves no money; its end takes the amount back."""
    if not DENIAL:
        return Skip(event, "this interface takes no denials")
    said = event.fields({"amount": "amount | money", "on": "on | date"})
    message = begin(event)
    message.add(
        "FT1",
        {
            "1": 1,
            "2": event["result"],
            "4": said["on"],
            "6": DENIAL,
            "7.1": posting_code("denial"),
            "7.2": event["codes"].split()[0],
            "8": in_words(event),
            "11.1": said["amount"],
            "14": event["payer_id"],
            "30": event["ends"] or event["caused_by"],
            "31": event["transaction"],
        },
    )
    return Outgoing(kind="DFT^P03", body=message, name=event["result"])


def transactions(event: Event) -> Iterator[tuple[Event, str, str, str, Decimal]]:
    """Yield every movement of money as line, FT1-6, what it is, its reason, and amount; negative amounts take back."""
    for line in event.each("lines"):
        paid = line.fields({"paid": "paid | money"})["paid"]
        if paid:
            yield line, PAYMENT, "payment", "PAYMENT", paid
        for adjustment in line.each("adjustments"):
            if adjustment["account"]:  # else it is refused, and stands in a message of its own
                amount = adjustment.fields({"amount": "amount | money"})["amount"]
                reason = f"{adjustment['group']}-{adjustment['reason']}"
                yield line, ADJUSTMENT, adjustment["group"], reason, amount


def posting_code(what: str) -> str:
    """Epic's code for *what*; where postings.csv has none, *what* itself, which Epic will refuse by name."""
    known = POSTINGS.get(what)
    return known["code"] if known else what


def in_words(event: Event) -> str:
    """What a denial says, for Epic's people."""
    if event.flag("ended"):
        return f"No longer denied: {event['codes']}."
    until = f" by {event['deadline_on']}" if event["deadline_on"] else ""
    return f"Denied: {event['codes']}. Next: {event['next']}{until}, {event['owner']}."


def begin(event: Event) -> Builder:
    """MSH, EVN, PID and PV1 of a message about the event's account. Names are left out: the numbers identify."""
    message = Builder(
        type="DFT^P03",
        control_id=event["result"],
        sent=event.received,
        sending=(OUR_APPLICATION, OUR_FACILITY),
        receiving=(EPIC_APPLICATION, EPIC_FACILITY),
        processing_id=PROCESSING_ID,
    )
    message.add("EVN", {"1": "P03", "2": event.received})
    message.add(
        "PID",
        {
            "3.1": event["mrn"],
            "3.4": event["authority"],
            "3.5": RECORD_TYPE,
            "5.7": "U",
            "18.1": event["account"],
        },
    )
    message.add("PV1", {"2": "O", "19": event["visit_number"]})
    return message
