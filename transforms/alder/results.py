"""Payments, denials and claim states on their way back to the EHR: HL7 v2, or FHIR for visits that came by FHIR."""

from collections.abc import Iterator
from decimal import Decimal

from hub.scripting import Builder, Event, Outgoing, Skip, mapping

from .fhir_payments import claim_response, of_claim, reconciliation

BY_FHIR = "ehr_fhir"
PROCESSING_ID = "T"  # MSH-11, as config/hub.toml says: this is a test site
OUTCOMES = {"paid": "complete", "partly paid": "complete", "denied": "complete", "rejected": "error"}


@mapping(accepts="payment", returns=Outgoing)
def payment(event: Event) -> Iterator[Outgoing | Skip]:
    """One DFT^P03 per posted claim: what the payer paid on each line, and what it adjusted and why."""
    if event["origin"] == BY_FHIR:
        yield from of_claim(event)
        return

    moved = list(transactions(event))
    if not moved:
        yield Skip(event, "nothing was paid or adjusted; what is refused is told as denials")
        return
    message = begin(event, "DFT^P03^DFT_P03")
    for number, (line, kind, code, amount) in enumerate(moved, 1):
        message.add(
            "FT1",
            {
                "1": number,
                "2": f"{event['result']}-{number}",
                "4": event.fields({"on": "posted_on | date"})["on"],
                "6": kind,
                "7": code,
                "8": f"Takes back {event['reverses']}." if event["reverses"] else "",
                "11.1": amount,
                "11.2": "USD",
                "30": event["trace"],
                "31": line["transaction"],
            },
        )
    yield Outgoing(kind="DFT^P03", body=message, name=event["result"])


@mapping(accepts="remittance", returns=Outgoing)
def remittance(event: Event) -> Outgoing:
    """One PaymentReconciliation for each part of a check or transfer, whichever way the visits in it came."""
    return reconciliation(event)


@mapping(accepts="claim status", returns=Outgoing)
def status(event: Event) -> Outgoing:
    """One BAR^P05 per change of state, with the state as the account's status."""
    if event["origin"] == BY_FHIR:
        outcome = OUTCOMES.get(event["state"], "queued")
        return claim_response(event, event, outcome, {"disposition": event["sentence"]})

    message = begin(event, "BAR^P05^BAR_P05")
    message.add("PV1", {"2": "O", "19": event["visit_number"], "41": event["state"]})
    return Outgoing(kind="BAR^P05", body=message, name=event["result"])


@mapping(accepts="denial", returns=Outgoing)
def denial(event: Event) -> Outgoing:
    """One DFT^P03 per denial, with what is refused, why, and who sees to it by when; its end takes the amount back."""
    if event["origin"] == BY_FHIR:
        if event.flag("ended"):
            over = {"status": "cancelled", "disposition": in_words(event)}
            return claim_response(event, event, "complete", over, name=event["ends"])
        return claim_response(event, event, "partial", {"disposition": in_words(event)})

    message = begin(event, "DFT^P03^DFT_P03")
    said = event.fields({"amount": "amount | money", "on": "on | date"})
    message.add(
        "FT1",
        {
            "1": 1,
            "2": event["result"],
            "4": said["on"],
            "6": "DN",  # of this EHR's own table 0017: a denial, which moves no money
            "7": event["codes"].split()[0],
            "8": in_words(event),
            "11.1": said["amount"],
            "11.2": "USD",
            "30": event["ends"] or event["caused_by"],
            "31": event["transaction"],
        },
    )
    return Outgoing(kind="DFT^P03", body=message, name=event["result"])


def in_words(event: Event) -> str:
    """What a denial says, for the EHR's people."""
    if event.flag("ended") and event["state"] == "lost":
        return f"Decided anew: {event['codes']}. The denial that follows stands in its place."
    if event.flag("ended"):
        return f"No longer denied: {event['codes']}."
    until = f" by {event['deadline_on']}" if event["deadline_on"] else ""
    return f"Denied: {event['codes']}. Next: {event['next']}{until}, {event['owner']}."


def begin(event: Event, kind: str) -> Builder:
    """MSH, EVN and PID of a message about the event's account."""
    message = Builder(
        type=kind,
        control_id=event["result"],
        sent=event.received,
        sending=("CLAIMHUB", "HUB"),
        receiving=("ALDER_EHR", "ALDER"),
        processing_id=PROCESSING_ID,
    )
    message.add("EVN", {"1": kind.split("^")[1], "2": event.received})
    message.add(
        "PID",
        {
            "3.1": event["mrn"],
            "3.4": event["authority"],
            "3.5": "MR",
            "5.7": "U",  # billing does not repeat names; the numbers identify
            "18.1": event["account"],
            "18.4": event["authority"],
            "18.5": "AN",
        },
    )
    return message


def transactions(event: Event) -> Iterator[tuple[Event, str, str, Decimal]]:
    """Yield every movement of money as line, FT1-6, FT1-7 and amount; negative amounts take back.

    What the payer refuses is none: it stays open, and stands in a message of its own (:func:`denial`).
    """
    for line in event.each("lines"):
        paid = line.fields({"paid": "paid | money"})["paid"]
        if paid:
            yield line, "PY", "PAYMENT", paid
        for adjustment in line.each("adjustments"):
            if not adjustment["account"]:
                continue
            amount = adjustment.fields({"amount": "amount | money"})["amount"]
            yield line, "AJ", f"{adjustment['group']}-{adjustment['reason']}", amount
