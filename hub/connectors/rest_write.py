"""Writing to a REST server: the fields of each output fill an address and a form, or a JSON body.

Many such servers recognise no repeat. Where what was written can be read again, the hub looks for it before it sends an
output a second time, so that a lost answer makes no second entry.
"""

from __future__ import annotations

import json
import re
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import Field

from hub.connectors.asking import AskingDestination, PagedSettings, good, refused
from hub.connectors.settings import WebAddress
from hub.connectors.web_client import NoAnswerError
from hub.connectors.web_probe import probe
from hub.engine.contracts import Connector, DestinationContext, Outcome, Parcel

_HOLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FORM = "application/x-www-form-urlencoded"
Fields = dict[str, str]


class RestWriteSettings(PagedSettings):
    """A REST server that takes the fields of each output, a JSON object of texts."""

    url: WebAddress = Field(
        description="Where to send to. {field} stands for a field of the output, which is then not in the body.",
        examples=["https://api.ehr.example/v1/195900/claims/{claimid}/note"],
    )
    method: Literal["POST", "PUT"] = Field("POST", description="How to send.", examples=["POST"])
    body: Literal["form", "json"] = Field("form", description="How the other fields are written.", examples=["json"])
    look: WebAddress | None = Field(
        None,
        description="Where what was written can be read again. Before an output is sent another time the hub looks "
        "there for its name, which must stand in one of its fields; where it is found nothing is sent.",
        examples=["https://api.ehr.example/v1/195900/claims/{claimid}/notes"],
    )
    requests: int = Field(4, ge=1, le=64, description="How many outputs may be sent at a time.", examples=[4])


class RestWriteDestination(AskingDestination):
    """Sends each parcel as one request, after a look when it is not the first attempt."""

    def __init__(self, settings: RestWriteSettings, context: DestinationContext) -> None:
        super().__init__(settings, context, address=settings.url, requests=settings.requests, lasting=False)
        self._settings = settings
        self._repeatable = settings.method == "PUT" or settings.look is not None

    async def converse(self, parcel: Parcel) -> Outcome:
        """Write what *parcel* says, unless it stands there already."""
        fields = _fields(parcel.body)
        if self._settings.look is not None:
            if not parcel.name or not any(parcel.name in text for text in fields.values()):
                raise refused("No field of the output carries its name, by which it could be found again.")
            if parcel.attempt > 1:
                async for page in self.pages(_filled(self._settings.look, fields), self._settings):
                    if _stands_in(parcel.name, page):
                        return Outcome(None, answer=page)
        return Outcome(None, answer=await self._write(fields))

    async def _write(self, fields: Fields) -> bytes:
        url = _filled(self._settings.url, fields)
        rest = {name: text for name, text in fields.items() if name not in _HOLE.findall(self._settings.url)}
        as_form = self._settings.body == "form"
        headers = {"Content-Type": _FORM if as_form else "application/json", "Accept": "application/json"}
        body = urlencode(rest) if as_form else json.dumps(rest)
        try:
            answer = await self.client.request(self._settings.method, url, headers, body.encode())
        except NoAnswerError as error:
            sent = error.sent and not self._repeatable
            raise NoAnswerError(error.reason, error.state, sent=sent, retry_after=error.retry_after) from None
        return answer.body if answer.ok else good(answer)  # it was taken, even where the answer then broke off


def _fields(body: bytes) -> Fields:
    """The fields that *body* says."""
    try:
        plain = json.loads(body, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or not all(isinstance(value, str) for value in plain.values()):
        raise refused("The output is no JSON object of texts and numbers.")
    return plain


def _stands_in(name: str, found: bytes) -> bool:
    """Whether *name* is in an answer as a word of its own: ``P7`` is not found in ``P70``."""
    return re.search(rb"(?<![A-Za-z0-9])" + re.escape(name.encode()) + rb"(?![A-Za-z0-9])", found) is not None


def _filled(address: str, fields: Fields) -> str:
    missing = next((hole for hole in _HOLE.findall(address) if not fields.get(hole)), None)
    if missing is not None:
        raise refused(f'The output has no field "{missing}", which the address needs.')
    return _HOLE.sub(lambda hole: quote(fields[hole[1]], safe=""), address)


CONNECTOR = Connector(
    name="rest_write",
    summary="Fields written to a REST server as a form or as JSON, looked for before they are sent again.",
    destination_settings=RestWriteSettings,
    open_destination=RestWriteDestination,
    probe=probe,
)
