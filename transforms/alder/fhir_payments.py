"""Payments as FHIR R4 resources: ClaimResponse and ExplanationOfBenefit of a claim, PaymentReconciliation of a check.

Each has the hub's own name as an identifier, and names the claim, the remittance and the check that it comes from. A
payment that is taken back, or was somebody else's, is written again under its own name, as cancelled or entered in
error.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hub.scripting import Event, Outgoing

RESULT = "urn:claimhub:result"
CLAIM = "urn:claimhub:claim"
TRACE = "urn:claimhub:trace"
REMITTANCE = "urn:claimhub:remittance"
HL7 = "http://terminology.hl7.org/CodeSystem"
CARC = "https://x12.org/codes/claim-adjustment-reason-codes"
GROUP = "https://x12.org/codes/claim-adjustment-group-codes"
RARC = "https://x12.org/codes/remittance-advice-remark-codes"
NPI = "http://hl7.org/fhir/sid/us-npi"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
FORMS = {"837P": "professional", "837I": "institutional"}


def claim_response(event: Event, cause: Event, outcome: str, details: dict[str, Any], name: str = "") -> Outgoing:
    """A ClaimResponse written because of *cause*.

    It is named by the event's own id, which makes a repeat recognisable, or by that of an earlier one in whose place it
    stands.
    """
    name = name or event["result"]
    body = {
        "resourceType": "ClaimResponse",
        "identifier": [{"system": RESULT, "value": name}],
        "status": "active",
        "type": coded("claim-type", FORMS.get(event["form"], "professional")),
        "use": "claim",
        "patient": {"identifier": {"system": "urn:alder:mrn", "value": event["mrn"]}},
        "created": created(cause),
        "insurer": insurer(event),
        "request": named(CLAIM, event["control_number"]),
        "outcome": outcome,
        **details,
    }
    return Outgoing(kind="ClaimResponse", body=body, name=name)


def of_claim(event: Event) -> Iterator[Outgoing]:
    """What a posted claim is told as: decided anew, or withdrawn where the payment is taken back."""
    changes: dict[str, Any] = withdrawn(event) if event["reverses"] else {}
    for told in event.each("original") or [event]:
        yield claim_response(told, event, "complete", {**decided(told), **changes})
        yield explanation(told, event, changes)


def withdrawn(event: Event) -> dict[str, Any]:
    """The status of a resource whose payment *event* takes back, and why."""
    if event.flag("undone"):
        return {"status": "entered-in-error", "disposition": "This payment was not for this claim."}
    said = f"Taken back by {event['result']} in payment {event['trace']}."
    return {"status": "cancelled", "disposition": said}


def decided(event: Event) -> dict[str, Any]:
    """The lines with what was charged, paid and adjusted, and the payment that they were part of."""
    return {
        "item": [
            {"extension": transaction(line), "itemSequence": number, "adjudication": adjudication(line)}
            for number, line in enumerate(event.each("lines"), 1)
        ],
        "payment": payment(event),
    }


def explanation(event: Event, cause: Event, changes: dict[str, Any]) -> Outgoing:
    """An ExplanationOfBenefit of the posting that *event* tells; *changes* are those that *cause* makes to it."""
    body = {
        "resourceType": "ExplanationOfBenefit",
        "identifier": [
            {"system": RESULT, "value": event["result"]},
            {"system": REMITTANCE, "value": event["remittance"]},
            *({"system": "urn:alder:payer-claim", "value": number} for number in event.all("payer_claim_number")),
        ],
        "status": "active",
        "type": coded("claim-type", FORMS.get(event["form"], "professional")),
        "use": "claim",
        "patient": {"identifier": {"system": "urn:alder:mrn", "value": event["mrn"]}},
        "created": created(cause),
        "insurer": insurer(event),
        "provider": named(NPI, event["provider_npi"]),
        "claim": named(CLAIM, event["control_number"]),
        "claimResponse": named(RESULT, event["result"]),
        "outcome": "complete",
        "insurance": [{"focal": True, "coverage": {"display": event["payer_name"] or event["payer_id"]}}],
        "item": [explained(number, line) for number, line in enumerate(event.each("lines"), 1)],
        "total": totals(event),
        "payment": payment(event),
        "processNote": notes(event),
        **changes,
    }
    return Outgoing(
        kind="ExplanationOfBenefit", body={name: value for name, value in body.items() if value}, name=event["result"]
    )


def explained(number: int, line: Event) -> dict[str, Any]:
    """One line of an ExplanationOfBenefit."""
    found: dict[str, Any] = {
        "extension": transaction(line),
        "sequence": number,
        "productOrService": {
            "coding": [{"system": CPT if line["code"][:1].isdigit() else HCPCS, "code": line["code"]}]
        },
        "modifier": [{"text": modifier} for modifier in line.all("modifiers[*]")],
        "servicedDate": line["service_date"],
        "net": usd(dollars(line, "charge")),
        "adjudication": adjudication(line),
    }
    return {name: value for name, value in found.items() if value}


def adjudication(line: Event) -> list[dict[str, Any]]:
    """What was charged and paid, and each adjustment with its group and reason; the payer's remarks come last."""
    adjusted = [
        {
            "category": {"text": "adjustment"},
            "reason": {
                "coding": [
                    {"system": GROUP, "code": each["group"]},
                    {"system": CARC, "code": each["reason"]},
                ],
                "text": f"{each['group']}-{each['reason']}",
            },
            "amount": usd(dollars(each, "amount")),
        }
        for each in line.each("adjustments")
    ]
    remarks = [
        {"category": {"text": "remark"}, "reason": {"coding": [{"system": RARC, "code": code}]}}
        for code in line.all("remarks[*]")
    ]
    return [
        {"category": coded("adjudication", "submitted"), "amount": usd(dollars(line, "charge"))},
        {"category": coded("adjudication", "benefit"), "amount": usd(dollars(line, "paid"))},
        *adjusted,
        *remarks,
    ]


def totals(event: Event) -> list[dict[str, Any]]:
    """What the lines come to."""
    return [
        {"category": coded("adjudication", "submitted"), "amount": usd(summed(event, "charge"))},
        {"category": coded("adjudication", "benefit"), "amount": usd(summed(event, "paid"))},
    ]


def notes(event: Event) -> list[dict[str, Any]]:
    """Where in the remittance it stands, and the remarks on the whole claim."""
    said = [f"Segment {event['segment']} of payment {event['trace']}."]
    said += [f"Remark {code}." for code in event.all("remarks[*]")]
    return [{"number": number, "type": "display", "text": text} for number, text in enumerate(said, 1)]


def payment(event: Event) -> dict[str, Any]:
    """What was paid, by which check or transfer."""
    return {
        "type": coded("ex-paymenttype", "complete"),
        "date": event["posted_on"],
        "amount": usd(summed(event, "paid")),
        "identifier": {"system": TRACE, "value": event["trace"] or "none"},
    }


def reconciliation(event: Event) -> Outgoing:
    """A PaymentReconciliation of one part of a remittance: its claims, and what the payer took or gave beside them."""
    part = f" Part {event['part']} of {event['parts']} of {event['total']}." if event["parts"] != "1" else ""
    waiting = (
        f" Not posted yet: {event['waiting.claims']} claims, {event['waiting.amount']}."
        if event["waiting.claims"] != "0"
        else ""
    )
    details = [*(of_the_claim(each) for each in event.each("claims")), *map(beside, event.each("adjustments"))]
    body = {
        "resourceType": "PaymentReconciliation",
        "identifier": [
            {"system": RESULT, "value": event["result"]},
            {"system": REMITTANCE, "value": event["remittance"]},
        ],
        "status": "active",
        "created": created(event),
        "paymentIssuer": {**named("urn:alder:payer", event["payer_id"] or "unknown"), "display": event["payer_name"]},
        "requestor": named(NPI, event["payee_npi"]),
        "outcome": "partial" if waiting else "complete",
        "disposition": f"Payment {event['trace'] or 'without money'}.{part}{waiting}",
        "paymentDate": event["paid_on"] or event["posted_on"],
        "paymentAmount": usd(dollars(event, "amount")),
        "paymentIdentifier": {"system": TRACE, "value": event["trace"] or "none"},
        "detail": details,
    }
    return Outgoing(
        kind="PaymentReconciliation", body={name: value for name, value in body.items() if value}, name=event["result"]
    )


def of_the_claim(line: Event) -> dict[str, Any]:
    """What a payment holds for one claim; what is taken back names what the EHR was told of it before."""
    found = {
        "identifier": {"system": RESULT, "value": line["result"]},
        "type": coded("payment-type", "adjustment" if line["reverses"] else "payment"),
        "request": named(CLAIM, line["control_number"]),
        "response": named(RESULT, line["reverses"] or line["result"]),
        "amount": usd(dollars(line, "paid")),
    }
    if line["reverses"]:
        found["predecessor"] = {"system": RESULT, "value": line["reverses"]}
    return found


def beside(line: Event) -> dict[str, Any]:
    """What a payment holds beside its claims: a PLB."""
    said = {"coding": [{"system": "urn:x12:plb", "code": line["code"]}], "text": f"PLB {line['code']}"}
    found: dict[str, Any] = {"type": said, "amount": usd(dollars(line, "amount"))}
    if line["reference"]:
        found["identifier"] = {"system": "urn:alder:payer-reference", "value": line["reference"]}
    return found


def transaction(line: Event) -> list[dict[str, Any]]:
    """The EHR's own number of the charge."""
    return [{"url": "urn:alder:transaction", "valueString": line["transaction"]}]


def insurer(event: Event) -> dict[str, Any]:
    """The payer, by its id."""
    return named("urn:alder:payer", event["payer_id"] or "unknown")


def named(system: str, value: str) -> dict[str, Any]:
    """A reference by identifier: the EHR knows the resource, or its own, by it."""
    return {"identifier": {"system": system, "value": value}}


def coded(system: str, code: str) -> dict[str, Any]:
    """A concept of one of FHIR's own lists."""
    return {"coding": [{"system": f"{HL7}/{system}", "code": code}]}


def created(event: Event) -> str:
    """The day of the event."""
    assert event.received is not None
    return event.received.date().isoformat()


def summed(event: Event, place: str) -> Decimal:
    """What the lines come to at *place*."""
    return sum((dollars(line, place) for line in event.each("lines")), Decimal("0.00"))


def dollars(line: Event, place: str) -> Decimal:
    """The amount at *place*, nothing when it is absent."""
    found = line.fields({"amount": f"{place} | money"})["amount"]
    assert found is None or isinstance(found, Decimal)
    return found or Decimal("0.00")


def usd(amount: Decimal) -> dict[str, Any]:
    """An amount as FHIR writes money."""
    return {"value": amount, "currency": "USD"}
