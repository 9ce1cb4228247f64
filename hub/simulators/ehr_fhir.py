"""The EHR's FHIR R4 side: resources, notifications to the hub's hook, and a small server behind a bearer token.

Sources: FHIR 4.0.1 (Patient, Coverage, Encounter, ChargeItem, Bundle, http); the Subscriptions R5 Backport
guide 1.1 (notification Bundles of type history whose first entry is a Parameters resource in R4).
"""

# Parts of Twisted are untyped.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from twisted.web.resource import Resource
from twisted.web.server import Request

from hub.simulators.books import Books
from hub.simulators.ehr_messages import Booking, charge_entry
from hub.simulators.ehr_visits import ChargeLine, Visit

Json = dict[str, Any]
JSON_TYPE = b"application/fhir+json; charset=utf-8"
SUBSCRIPTION = "Subscription/hub-encounters"
RELATIONSHIPS = {"SEL": "self", "SPO": "spouse", "CHD": "child"}
RESULTS = {
    "ClaimResponse": "claim_response",
    "ExplanationOfBenefit": "explanation",
    "PaymentReconciliation": "reconciliation",
}
BUSY_EVERY = 9
THROTTLED_EVERY = 14


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification to send: when, which encounter, whether the resources come along."""

    at: Any
    event: int
    visit: Visit
    fault: str
    bookings: tuple[Booking, ...]


def notifications(visits: Iterable[Visit]) -> list[Notification]:
    """Return the notifications about the visits that do not travel over MLLP, in order of sending."""
    found = []
    for event, visit in enumerate((each for each in visits if each.via != "mllp"), start=1):
        done = visit.when + timedelta(minutes=40)
        # Out of order: this one leaves after the next ones have left.
        sent = done + timedelta(hours=8) if visit.fault == "out_of_order" else done
        entries = [charge_entry(visit, line) | {"control": f"event-{event}"} for line in visit.lines]
        bookings = tuple(("charge", entry) for entry in entries)
        found.append(Notification(sent, event, visit, visit.fault, bookings))
    return sorted(found, key=lambda each: each.at)


class Records:
    """The resources of the visits that are kept in FHIR, by reference."""

    def __init__(self, visits: Iterable[Visit]) -> None:
        self._resources: dict[str, Json] = {}
        for visit in visits:
            if visit.via != "mllp":
                for resource in resources(visit):
                    self._resources[f"{resource['resourceType']}/{resource['id']}"] = resource

    def read(self, reference: str) -> Json | None:
        """Return a resource by ``Type/id``, or nothing."""
        return self._resources.get(reference)

    def search(self, kind: str, parameters: dict[str, str]) -> list[tuple[Json, str]]:
        """Return the matches of a search with their mode (``match`` or ``include``)."""
        matches = [each for each in self._resources.values() if each["resourceType"] == kind]
        matches = [each for each in matches if all(_matches(each, *item) for item in parameters.items())]
        found = [(each, "match") for each in matches]
        if kind == "Encounter" and ("_include" in parameters or "_revinclude" in parameters):
            for encounter in matches:
                found += [(each, "include") for each in self._resources.values() if _belongs(each, encounter)]
        return found


def _matches(resource: Json, name: str, value: str) -> bool:
    match name:
        case "_id":
            return bool(resource["id"] in value.split(","))
        case "context" | "encounter":
            return _same(resource.get("context"), value)
        case "patient" | "subject" | "beneficiary":
            return _same(resource.get("subject") or resource.get("beneficiary"), value)
        case "identifier":
            wanted = value.rpartition("|")[2]
            return any(each["value"] == wanted for each in resource.get("identifier", []))
    return True


def _same(reference: Json | None, value: str) -> bool:
    wanted = reference["reference"] if reference else ""
    return bool(wanted) and wanted.rpartition("/")[2] == value.rpartition("/")[2]


def _belongs(resource: Json, encounter: Json) -> bool:
    """Say whether a resource is the encounter's patient, a charge of it or the patient's coverage."""
    patient = encounter["subject"]["reference"]
    match resource["resourceType"]:
        case "Patient":
            return bool(f"Patient/{resource['id']}" == patient)
        case "ChargeItem":
            return bool(resource["context"]["reference"] == f"Encounter/{encounter['id']}")
        case "Coverage":
            return bool(resource["beneficiary"]["reference"] == patient)
    return False


def resources(visit: Visit) -> list[Json]:
    """Return a visit as Patient, Coverage, Encounter and ChargeItems."""
    patient = f"Patient/{_patient_id(visit)}"
    return [
        _patient(visit),
        *_coverages(visit, patient),
        _encounter(visit, patient),
        *(_charge_item(visit, line, patient) for line in visit.lines),
    ]


def _patient_id(visit: Visit) -> str:
    return f"p-{visit.person.mrn.lower()}"


def encounter_id(visit: Visit) -> str:
    """Return the logical id of a visit's Encounter."""
    return f"e-{visit.visit_number.lower()}"


def _patient(visit: Visit) -> Json:
    person = visit.person
    return {
        "resourceType": "Patient",
        "id": _patient_id(visit),
        "identifier": [{"system": "urn:alder:mrn", "value": person.mrn}],
        "name": [{"use": "official", "family": person.family, "given": [person.given, person.middle]}],
        "gender": "female" if person.sex == "F" else "male",
        "birthDate": person.birth.isoformat(),
        "address": [
            {
                "use": "home",
                "line": [person.street],
                "city": "SPRINGFIELD",
                "state": "IL",
                "postalCode": person.zip_code,
                "country": "USA",
            }
        ],
    }


def _coverages(visit: Visit, patient: str) -> Iterable[Json]:
    for order, coverage in enumerate(visit.person.coverages, start=1):
        own = coverage.relationship == "SEL"
        found: Json = {
            "resourceType": "Coverage",
            "id": f"c-{visit.person.mrn.lower()}-{order}",
            "status": "active",
            "subscriberId": coverage.member_id,
            "beneficiary": {"reference": patient},
            "relationship": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship",
                        "code": RELATIONSHIPS[coverage.relationship],
                    }
                ]
            },
            "payor": [
                {
                    "identifier": {"system": "urn:alder:payer", "value": coverage.payer_id},
                    "display": coverage.payer_name,
                }
            ],
            "class": [
                {
                    "type": {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/coverage-class",
                                "code": "group",
                            }
                        ]
                    },
                    "value": coverage.group,
                }
            ],
            "order": order,
        }
        if own:
            found["subscriber"] = {"reference": patient}
        else:
            # The holder may be nobody's patient here, so he comes along inside.
            found["contained"] = [
                {
                    "resourceType": "RelatedPerson",
                    "id": "holder",
                    "patient": {"reference": patient},
                    "name": [{"family": coverage.subscriber_family, "given": [coverage.subscriber_given]}],
                    "gender": "female" if coverage.subscriber_sex == "F" else "male",
                    "birthDate": coverage.subscriber_birth.isoformat(),
                }
            ]
            found["subscriber"] = {"reference": "#holder"}
        yield found


def _encounter(visit: Visit, patient: str) -> Json:
    end = visit.when + timedelta(minutes=20)
    return {
        "resourceType": "Encounter",
        "id": encounter_id(visit),
        "meta": {"versionId": "1", "lastUpdated": end.isoformat()},
        "identifier": [{"system": "urn:alder:visit", "value": visit.visit_number}],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"},
        "subject": {"reference": patient},
        "participant": [{"individual": {"identifier": _npi(visit)}}],
        "period": {"start": visit.when.isoformat(), "end": end.isoformat()},
        "account": [{"identifier": {"system": "urn:alder:account", "value": visit.account}}],
        "location": [{"location": {"identifier": {"system": "urn:alder:department", "value": visit.department}}}],
    }


def _npi(visit: Visit) -> Json:
    return {"system": "http://hl7.org/fhir/sid/us-npi", "value": visit.provider.npi}


def _charge_item(visit: Visit, line: ChargeLine, patient: str) -> Json:
    codings = [{"system": "http://www.ama-assn.org/go/cpt", "code": line.procedure.code}]
    codings += [{"system": "urn:alder:modifier", "code": modifier} for modifier in line.modifiers]
    # Halves and quarters of a dollar are exact in binary, and so are all the fees of this practice's telehealth.
    price = line.amount // 100 if line.amount % 100 == 0 else line.amount / 100
    return {
        "resourceType": "ChargeItem",
        "id": f"ch-{line.transaction.lower()}",
        "identifier": [{"system": "urn:alder:transaction", "value": line.transaction}],
        "status": "billable",
        "code": {"coding": codings},
        "subject": {"reference": patient},
        "context": {"reference": f"Encounter/{encounter_id(visit)}"},
        "occurrenceDateTime": f"{visit.when:%Y-%m-%d}",
        "performer": [{"actor": {"identifier": _npi(visit)}}],
        "performingOrganization": {"identifier": {"system": "urn:alder:department", "value": line.department}},
        "quantity": {"value": line.units},
        "priceOverride": {"value": price, "currency": "USD"},
        "reason": [
            {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": code}]} for code in visit.diagnoses
        ],
        "account": [{"identifier": {"system": "urn:alder:account", "value": visit.account}}],
    }


def notification_body(notification: Notification, base: str) -> bytes:
    """Write the notification Bundle: full-resource or id-only, as the visit says."""
    visit = notification.visit
    focus = f"Encounter/{encounter_id(visit)}"
    status: Json = {
        "resourceType": "Parameters",
        "id": f"status-{notification.event}",
        "meta": {
            "profile": [
                "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"
            ]
        },
        "parameter": [
            {"name": "subscription", "valueReference": {"reference": f"{base}/{SUBSCRIPTION}"}},
            {"name": "topic", "valueCanonical": "urn:alder:topic:encounter-finished"},
            {"name": "status", "valueCode": "active"},
            {"name": "type", "valueCode": "event-notification"},
            {"name": "events-since-subscription-start", "valueString": str(notification.event)},
            {
                "name": "notification-event",
                "part": [
                    {"name": "event-number", "valueString": str(notification.event)},
                    {"name": "timestamp", "valueInstant": notification.at.isoformat()},
                    {"name": "focus", "valueReference": {"reference": focus}},
                ],
            },
        ],
    }
    along = resources(visit) if visit.via == "fhir-full" else []
    entries: list[Json] = [
        {
            "fullUrl": f"urn:uuid:{_uuid(f'{base}{notification.event}')}",
            "resource": status,
            "request": {"method": "GET", "url": f"{base}/{SUBSCRIPTION}/$status"},
            "response": {"status": "200"},
        }
    ]
    for resource in along:
        reference = f"{resource['resourceType']}/{resource['id']}"
        entries.append(
            {
                "fullUrl": f"{base}/{reference}",
                "resource": resource,
                "request": {"method": "PUT", "url": reference},
                "response": {"status": "201"},
            }
        )
    bundle = {
        "resourceType": "Bundle",
        "id": _uuid(f"bundle{base}{notification.event}"),
        "type": "history",
        "timestamp": notification.at.isoformat(),
        "entry": entries,
    }
    return json.dumps(bundle).encode()


def _uuid(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


class FhirServer(Resource):
    """Answers reads, searches, and results that are created or updated, to whoever has the token."""

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(self, records: Records, token: str, books: Books, faults: bool) -> None:
        super().__init__()
        self._records, self._books, self._faults = records, books, faults
        self._authorization = f"Bearer {token}".encode()
        self._requests = 0
        self._results: dict[tuple[str, str], _Result] = {}
        self.posted = 0

    def render_GET(self, request: Request) -> bytes:  # noqa: N802
        """Answer a read, a search or the capability statement."""
        refusal = self._refusal(request)
        if refusal:
            return refusal
        path = request.path.decode().strip("/").split("/")[1:]
        if path == ["metadata"]:
            return _answer(request, 200, _capabilities())
        if len(path) == 2:
            found = self._records.read("/".join(path))
            return _answer(request, 200, found) if found else _trouble(request, 404, "not-found")
        if len(path) == 1:
            parameters = {name.decode(): values[0].decode() for name, values in (request.args or {}).items()}
            return _answer(request, 200, self._bundle(path[0], parameters))
        return _trouble(request, 404, "not-found")

    def render_POST(self, request: Request) -> bytes:  # noqa: N802
        """Create a result; the same identifier is created once."""
        return self._refusal(request) or self._take(request, _kind_of(request), update=False)

    def render_PUT(self, request: Request) -> bytes:  # noqa: N802
        """Create a result, or replace the one with the identifier that the address names."""
        return self._refusal(request) or self._take(request, _kind_of(request), update=True)

    def _take(self, request: Request, kind: str, *, update: bool) -> bytes:
        """Book a result as new, repeated or changed, and answer as a server does (FHIR R4, create and update)."""
        if kind not in RESULTS:
            return _trouble(request, 404, "not-supported")
        assert request.content is not None
        try:
            resource = json.loads(request.content.read())
        except ValueError:
            return _trouble(request, 400, "structure")
        if not isinstance(resource, dict) or resource.get("resourceType") != kind:
            return _trouble(request, 422, "invalid")
        own = [f"{each.get('system')}|{each.get('value')}" for each in resource.get("identifier", [])]
        condition = (request.args or {}).get(b"identifier", [b""])[0].decode() if update else ""
        if update and condition not in own:
            return _trouble(request, 412, "conflict")
        key = condition or (own[0] if own else request.getHeader("If-None-Exist") or "")
        known = self._results.get((kind, key)) if key else None
        changed = known is not None and update and known.resource != resource
        self.posted += known is None
        number = known.number if known else f"cr-{self.posted}"
        version = known.version + changed if known else 1
        self._results[kind, key or number] = _Result(number, version, resource)
        self._books.record(
            RESULTS[kind],
            id=number,
            identifier=resource.get("identifier", []),
            repeat=known is not None,
            changed=changed,
            resource=resource,
        )
        location = f"{request.path.decode()}/{number}/_history/{version}"
        request.setHeader("Location", location)
        return _answer(request, 200 if known else 201, resource | {"id": number})

    def _refusal(self, request: Request) -> bytes:
        """Answer 401 to strangers and, with faults, 503 or 429 now and then; empty when all is well."""
        given = (request.getHeader("Authorization") or "").encode()
        if not hmac.compare_digest(given, self._authorization):
            return _trouble(request, 401, "login")
        self._requests += 1
        if self._faults and self._requests % BUSY_EVERY == 3:
            self._books.record("fault", fault="fhir_503")
            request.setHeader("Retry-After", "1")
            return _trouble(request, 503, "transient")
        if self._faults and self._requests % THROTTLED_EVERY == 5:
            self._books.record("fault", fault="fhir_429")
            request.setHeader("Retry-After", "1")
            return _trouble(request, 429, "throttled")
        return b""

    def _bundle(self, kind: str, parameters: dict[str, str]) -> Json:
        found = self._records.search(kind, parameters)
        return {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": sum(mode == "match" for _, mode in found),
            "link": [{"relation": "self", "url": f"{kind}?{urlencode(parameters)}"}],
            "entry": [
                {
                    "fullUrl": f"{resource['resourceType']}/{resource['id']}",
                    "resource": resource,
                    "search": {"mode": mode},
                }
                for resource, mode in found
            ],
        }


@dataclass(frozen=True, slots=True)
class _Result:
    """A result as it stands now."""

    number: str
    version: int
    resource: Json


def _kind_of(request: Request) -> str:
    return str(request.path.decode().strip("/").rpartition("/")[2])


def _answer(request: Request, status: int, resource: Json) -> bytes:
    request.setResponseCode(status)
    request.setHeader("Content-Type", JSON_TYPE)
    return json.dumps(resource).encode()


def _trouble(request: Request, status: int, code: str) -> bytes:
    issue = {"severity": "error", "code": code}
    return _answer(request, status, {"resourceType": "OperationOutcome", "issue": [issue]})


def _capabilities() -> Json:
    interactions = [{"code": "read"}, {"code": "search-type"}]
    kinds: list[Json] = [
        {"type": kind, "interaction": interactions} for kind in ("Patient", "Coverage", "Encounter", "ChargeItem")
    ]
    written = {"interaction": [{"code": "create"}, {"code": "update"}], "conditionalCreate": True}
    kinds += [{"type": kind, **written, "conditionalUpdate": True} for kind in RESULTS]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": kinds}],
    }
