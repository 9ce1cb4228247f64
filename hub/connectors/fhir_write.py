"""Writing to a FHIR server: create, update, both by condition, and Bundles of them.

Source: FHIR R4, http: create 3.1.0.8, update 3.1.0.4, conditional 3.1.0.4.3 and 3.1.0.8.1, batch and transaction
3.1.0.11, managing resource contention 3.1.0.5 (If-Match with a weak ETag).

A request that got no answer is repeated where that can do no harm: an update, a create with a condition, a Bundle whose
entries are all of these. Otherwise it is ambiguous.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from hub.connectors.http import Call, HttpDestination, WriterSettings
from hub.connectors.settings import WebAddress
from hub.connectors.web_client import Answer, NoAnswerError, WebClient
from hub.core.errors import HubError
from hub.engine.contracts import DestinationContext, Failure, Outcome, Parcel
from hub.formats.fhir.outcome import EntryOutcome, entry_outcomes, in_words, issues_in, said_later
from hub.formats.fhir.text import FhirError, Resource, read

MEDIA_TYPE = "application/fhir+json"
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}\Z")
_VERSION = re.compile(r"[A-Za-z0-9.-]{1,64}\Z")
_MOST_NAMED = 3
_SERVERS_OWN = frozenset({"meta", "id", "text"})
"""What a server may say otherwise of a resource that it took as it was."""


class FhirDestinationSettings(WriterSettings):
    """A FHIR server to which each output, a resource or a Bundle, is written."""

    base: WebAddress = Field(
        description="The server's base address; a resource is sent to its type beneath it.",
        examples=["https://ehr.clinic.example/fhir"],
    )
    interaction: Literal["create", "update", "bundle"] = Field(
        "create",
        description="create: a new resource (POST). update: the resource whose id the output has, or the one that "
        "search finds (PUT); an output with meta.versionId replaces that version and no other (If-Match). bundle: "
        "the output is a Bundle of type transaction or batch, done by the server as a whole or entry by entry.",
        examples=["update"],
    )
    resource: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Za-z]+$",
        description="The type of resource to create or update. Update may leave it out: each output is put to its own.",
        examples=["ClaimResponse"],
    )
    if_none_exist: str | None = Field(
        None,
        description="For create: the search that finds what an earlier attempt created, so that nothing is created "
        "twice. {name} stands for the output's name.",
        examples=["identifier=urn:claimhub:result|{name}"],
    )
    search: str | None = Field(
        None,
        pattern=r"^[^?&\s][^?\s]*$",
        description="For update: the search that finds the resource, instead of its id; the server creates it when "
        "there is none. {name} stands for the output's name.",
        examples=["identifier=urn:claimhub:result|{name}"],
    )

    @model_validator(mode="after")
    def _they_go_together(self) -> Self:
        if self.resource is None and self.interaction == "create":
            raise ValueError("create needs the type of resource")
        if self.resource is not None and self.interaction == "bundle":
            raise ValueError("a bundle has entries of any type; resource is for create and update")
        if self.if_none_exist and self.interaction != "create":
            raise ValueError('if_none_exist is for interaction = "create"; entries of a bundle have their own')
        if self.search and self.interaction != "update":
            raise ValueError('search is for interaction = "update"')
        return self


def open_destination(settings: FhirDestinationSettings, context: DestinationContext) -> HttpDestination:
    """A destination that writes each output as the settings say."""
    base = settings.base.rstrip("/")

    def compose(parcel: Parcel) -> Call | Outcome:
        try:
            resource = read(parcel.body)
        except FhirError as error:
            return _refused(f"The output cannot be sent: {error.what}")
        return _call(settings, base, parcel, resource)

    shown = f"{base}/{settings.resource}" if settings.resource else base
    return HttpDestination(settings, context, address=shown, compose=compose, settle=_settle)


def _call(settings: FhirDestinationSettings, base: str, parcel: Parcel, resource: Resource) -> Call | Outcome:
    headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
    name = quote(parcel.name, safe="")
    kind = resource["resourceType"]
    wanted = "Bundle" if settings.interaction == "bundle" else settings.resource or kind
    if kind != wanted:
        return _refused(f"The output is a {kind}, and this destination takes {wanted}.")
    if settings.interaction == "bundle":
        if resource.get("type") not in {"transaction", "batch"}:
            return _refused("A Bundle to be done by the server is a transaction or a batch.")
        return Call("POST", base, headers, _is_repeatable(resource))
    address = f"{base}/{kind}"
    if settings.interaction == "create":
        if settings.if_none_exist:
            headers["If-None-Exist"] = settings.if_none_exist.replace("{name}", name)
        return Call("POST", address, headers, settings.if_none_exist is not None)
    meta = resource.get("meta")
    version = str(meta.get("versionId", "")) if isinstance(meta, dict) else ""
    if _VERSION.match(version):
        headers["If-Match"] = f'W/"{version}"'
    if settings.search:
        return Call("PUT", f"{address}?{settings.search.replace('{name}', name)}", headers, True)
    if not _ID.match(str(resource.get("id", ""))):
        return _refused("An update needs the resource's id, or a search in the settings that finds it.")
    return Call("PUT", f"{address}/{resource['id']}", headers, True)


def _is_repeatable(bundle: Resource) -> bool:
    """Whether every entry may come twice: reads, deletions, updates, and creations with a condition."""
    entries = bundle.get("entry")
    requests = (
        [entry.get("request") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    return all(
        isinstance(request, dict)
        and (request.get("method") in {"GET", "HEAD", "PUT", "DELETE"} or bool(request.get("ifNoneExist")))
        for request in requests
    )


async def _settle(client: WebClient, parcel: Parcel, call: Call, answer: Answer) -> Outcome:
    sent = read(parcel.body)
    if answer.ok:
        return _entries(answer, call) if sent["resourceType"] == "Bundle" else Outcome(None, answer=answer.body)
    if answer.status == 412 and "If-Match" in call.headers:
        return await _after_conflict(client, call, sent, answer)
    issues = issues_in(answer.body)
    failure = Failure.TRANSIENT if said_later(issues) else answer.failure
    said = in_words(issues)
    return Outcome(failure, answer.reason + (f" It says: {said}." if said else ""), answer.body, answer.retry_after)


async def _after_conflict(client: WebClient, call: Call, sent: Resource, answer: Answer) -> Outcome:
    """The version is another one: ours, when an attempt without an answer was done after all, or somebody else's."""
    try:
        current = await client.request("GET", call.url, {"Accept": MEDIA_TYPE})
        stands = read(current.body) if current.ok and current.whole else None
    except NoAnswerError as error:
        return Outcome(Failure.TRANSIENT, error.reason)
    except (FhirError, HubError):
        stands = None
    if stands is not None and all(stands.get(key) == sent[key] for key in sent if key not in _SERVERS_OWN):
        return Outcome(None, answer=answer.body)
    reason = "Somebody changed the resource since it was read (HTTP 412): read it again, and decide anew."
    return _refused(reason, answer.body)


def _entries(answer: Answer, call: Call) -> Outcome:
    """What became of each entry. A transaction is done whole, and so is what is not spoken of."""
    try:
        bundle = read(answer.body) if answer.whole else None
    except FhirError:
        bundle = None
    if bundle is None:
        failure = Failure.TRANSIENT if call.repeatable else Failure.AMBIGUOUS
        return Outcome(failure, "The answer does not say what became of the entries.", answer.body)
    failed = [each for each in entry_outcomes(bundle) if each.status and not each.ok]
    if not failed:
        return Outcome(None, answer=answer.body)
    later = call.repeatable and all(each.may_succeed_later for each in failed)
    named = "; ".join(_entry_in_words(each) for each in failed[:_MOST_NAMED])
    more = f"; and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
    reason = f"{len(failed)} of {len(entry_outcomes(bundle))} entries were not done: {named}{more}."
    return Outcome(Failure.TRANSIENT if later else Failure.PERMANENT, reason, answer.body)


def _entry_in_words(entry: EntryOutcome) -> str:
    said = in_words(entry.issues)
    return f"entry {entry.number} HTTP {entry.status}" + (f", {said}" if said else "")


def _refused(reason: str, answer: Any = None) -> Outcome:
    return Outcome(Failure.PERMANENT, reason, answer)
