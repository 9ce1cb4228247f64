"""Reading from a FHIR server: a list of reads and searches becomes one Bundle, which is a message of its own.

A read changes nothing, so one that got no answer is simply done again: it is never ambiguous.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urljoin

from pydantic import Field

from hub.connectors.asking import AskingDestination, FailedError, origin, refused, state_after, whole
from hub.connectors.fhir_probe import probe
from hub.connectors.settings import WebAddress
from hub.connectors.web_client import Answer, WebClientSettings
from hub.engine.contracts import Connector, DestinationContext, Failure, Outcome, Parcel
from hub.formats.fhir.notification import next_link, resources_of
from hub.formats.fhir.outcome import in_words, issues_in, said_later
from hub.formats.fhir.text import FhirError, Resource, read, write

_READ = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}\Z")
_SEARCH = re.compile(r"[A-Z][A-Za-z]{1,63}\?[!-~]{1,2000}\Z")
_ACCEPT = {"Accept": "application/fhir+json"}


class FhirReadSettings(WebClientSettings):
    """A FHIR server to read from."""

    base: WebAddress = Field(description="The server's base address.", examples=["https://ehr.clinic.example/fhir"])
    pages: int = Field(50, ge=1, description="How many pages of one search to follow at most.", examples=[50])
    by_post: bool = Field(
        False,
        description="Send searches in a request's body (POST to Type/_search) and not in its address, so that what is "
        "searched by stands in no log on the way. Not every server takes it.",
        examples=[True],
    )
    requests: int = Field(4, ge=1, le=64, description="How many fetches may run at a time.", examples=[4])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a parcel asks for: relative references, and searches relative to the base."""

    reads: tuple[str, ...]
    searches: tuple[str, ...]


class FhirReadDestination(AskingDestination):
    """Fetches what a parcel asks for. The answer is a Bundle of type ``collection``, each resource in it once."""

    repeatable = True

    def __init__(self, settings: FhirReadSettings, context: DestinationContext) -> None:
        super().__init__(settings, context, address=settings.base, requests=settings.requests, lasting=True)
        self._settings = settings
        self._base = settings.base.rstrip("/") + "/"

    async def converse(self, parcel: Parcel) -> Outcome:
        """Fetch what *parcel* asks for: JSON with ``reads`` and ``searches``."""
        wanted = _wanted(parcel.body)
        found: dict[str, Resource] = {}
        try:
            for reference in wanted.reads:
                self._keep(found, await self._get(urljoin(self._base, reference)))
            for search in wanted.searches:
                await self._search(urljoin(self._base, search), found)
        except ValueError:
            raise refused("The server's link to the next page is no address.") from None
        entries = [{"resource": resource} for resource in found.values()]
        return Outcome(None, answer=write({"resourceType": "Bundle", "type": "collection", "entry": entries}))

    async def _search(self, url: str, found: dict[str, Resource]) -> None:
        for number in range(self._settings.pages):
            by_post = self._settings.by_post and number == 0  # further pages are links
            page = await (self._post(url) if by_post else self._get(url))
            if page["resourceType"] != "Bundle":
                raise refused("The server answered a search with no Bundle.")
            for resource in resources_of(page):
                self._keep(found, resource)
            link = next_link(page)
            if link is None:
                return
            url = urljoin(url, link)
            if origin(url) != origin(self._base):
                # The token is for this server alone.
                raise refused("The server points to another server for more.")
        raise refused("A search has more pages than the settings allow.")

    async def _get(self, url: str) -> Resource:
        return self._resource(await self.client.request("GET", url, _ACCEPT))

    async def _post(self, url: str) -> Resource:
        address, _, parameters = url.partition("?")
        headers = {**_ACCEPT, "Content-Type": "application/x-www-form-urlencoded"}
        return self._resource(await self.client.request("POST", f"{address}/_search", headers, parameters.encode()))

    @staticmethod
    def _resource(answer: Answer) -> Resource:
        if not answer.ok:
            issues = issues_in(answer.body)
            failure = Failure.TRANSIENT if said_later(issues) else answer.failure
            reason = answer.reason + (f" It says: {said}." if (said := in_words(issues)) else "")
            raise FailedError(Outcome(failure, reason, answer.body, answer.retry_after), state_after(answer))
        try:
            return read(whole(answer))
        except FhirError as error:
            raise refused(f"The answer cannot be read: {error.what}") from None

    @staticmethod
    def _keep(found: dict[str, Resource], resource: Resource) -> None:
        """Note *resource* under its reference; what a server adds to a search to comment on it is left out."""
        if resource["resourceType"] != "OperationOutcome":
            found.setdefault(f"{resource['resourceType']}/{resource.get('id', len(found))}", resource)


def _wanted(body: bytes) -> _Wanted:
    """What *body* asks for; anything that would leave the server's base is refused."""
    try:
        plain = json.loads(body)
        wanted = _Wanted(tuple(plain.get("reads", ())), tuple(plain.get("searches", ())))
        good = all(_READ.match(item) for item in wanted.reads)
        good = good and all(_SEARCH.match(item) for item in wanted.searches)
    except (ValueError, AttributeError, TypeError):
        good = False
    if not good or not (wanted.reads or wanted.searches):
        reason = 'The output is no fetch: it needs "reads" such as Encounter/1 or "searches" such as Encounter?_id=1.'
        raise refused(reason)
    return wanted


CONNECTOR = Connector(
    name="fhir_read",
    summary="Resources fetched from a FHIR server; the answer comes back as a linked message.",
    destination_settings=FhirReadSettings,
    open_destination=FhirReadDestination,
    probe=probe,
)
