"""Payments, denials and claim states as notes on athenahealth's claims.

Every note begins with the event's own id: by it the hub finds whether a note is there already.
"""

from hub.scripting import Event, Outgoing, Skip, mapping

from .interface import NOTE

ORIGIN = "athena_events"
NOT_OURS = "the visit came from another system"


@mapping(accepts="payment", returns=Outgoing)
def payment(event: Event) -> Outgoing | Skip:
    """What the payer paid and adjusted on each line, or what a reversal takes back."""
    if event["origin"] != ORIGIN:
        return Skip(event, NOT_OURS)
    lines = "; ".join(in_words(line) for line in event.each("lines"))
    takes_back = f" It takes back {event['reverses']}." if event["reverses"] else ""
    payer = event["payer_name"] or event["payer_id"]
    return note(event, f"{payer} decided on {event['posted_on']}, trace {event['trace']}.{takes_back} {lines}.")


@mapping(accepts="claim status", returns=Outgoing)
def status(event: Event) -> Outgoing | Skip:
    """How far the claim has come."""
    if event["origin"] != ORIGIN:
        return Skip(event, NOT_OURS)
    return note(event, event["sentence"])


@mapping(accepts="denial", returns=Outgoing)
def denial(event: Event) -> Outgoing | Skip:
    """What is refused, why, and who sees to it by when; or that this is over."""
    if event["origin"] != ORIGIN:
        return Skip(event, NOT_OURS)
    if event.flag("ended"):
        return note(event, f"{event['code']} is no longer denied ({event['codes']}, {event['ends']}).")
    until = f" by {event['deadline_on']}" if event["deadline_on"] else ""
    what = f"{event['code']} {event['amount']} denied ({event['codes']} {event['remarks']}".rstrip()
    return note(event, f"{what}). Next: {event['next']}{until}, {event['owner']}.")


def note(event: Event, text: str) -> Outgoing:
    """A note on the claim that the visit was made of."""
    body = {"claimid": event["account"], NOTE: f"{event['result']}: {text}"}
    return Outgoing(kind="note", body=body, name=event["result"])


def in_words(line: Event) -> str:
    """One line: the code, what was paid, and each adjustment with its group and reason."""
    adjusted = "".join(f", {item['group']}-{item['reason']} {item['amount']}" for item in line.each("adjustments"))
    return f"{line['code']} paid {line['paid']} of {line['charge']}{adjusted}"
