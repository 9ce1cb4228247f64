"""Everything that a mapping script imports, and the only thing that it does.

A mapping is a plain function from one message to values::

    from hub.scripting import Charge, Message, Skip, mapping

    @mapping(accepts="DFT^P03", returns=Charge)
    def charges(message: Message):
        for line in message.each("FT1"):
            if line["FT1-6"] not in {"CG", "CD"}:
                yield Skip(line, "payments are posted from the 835")
                continue
            yield Charge(...)

It is pure: no network, files or clock. The same message and tables give the same values, which is what makes preview,
tests and replay trustworthy. The runtime notes which line each value came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from hub.billing.values import (
    Accident,
    Address,
    AmountCode,
    Appointment,
    Attachment,
    Authorisation,
    AuthorisedService,
    Charge,
    Clinician,
    Coverage,
    DatedCode,
    Document,
    Drug,
    EligibilityAnswer,
    IllnessDates,
    Merge,
    Name,
    PartnerFile,
    Patient,
    PatientPayment,
    Stay,
    Transport,
    Visit,
)
from hub.formats.hl7v2.build import NULL, Builder
from hub.formats.hl7v2.message import Message, Segment
from hub.site.script_tables import Row, Table, table
from hub.site.views import Event, X12File

__all__ = [
    "NULL",
    "Accident",
    "Address",
    "AmountCode",
    "Appointment",
    "Attachment",
    "Authorisation",
    "AuthorisedService",
    "Builder",
    "Charge",
    "Clinician",
    "Coverage",
    "DatedCode",
    "Document",
    "Drug",
    "EligibilityAnswer",
    "Event",
    "Fetch",
    "Get",
    "Hold",
    "IllnessDates",
    "Line",
    "Merge",
    "Message",
    "Name",
    "Outgoing",
    "PartnerFile",
    "Patient",
    "PatientPayment",
    "Read",
    "Reject",
    "Row",
    "Segment",
    "Skip",
    "Stay",
    "Table",
    "Transport",
    "Visit",
    "X12File",
    "mapping",
    "table",
]

Line = Message | Segment | Event | X12File
"""What an outcome may be about: one line, or the whole message."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A line that is left out on purpose. It is counted as filtered, with the reason (no patient data in it)."""

    line: Line
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A person must look at this line: it goes to the work queue *queue* with the reason (no patient data in it)."""

    line: Line
    queue: str = "messages"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """The sender must correct the message: nothing of it goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A rendered message for a destination of the channel.

    *kind* is what destinations take by (``837P``, ``DFT^P03``), *name* is how the peer knows it (a control id, a file
    name). *to* names one destination; without it every destination that takes *kind* gets the message. A mapping as
    *body* is written as JSON, decimals with the places that they have.
    """

    kind: str
    body: bytes | str | Builder | Mapping[str, Any]
    name: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """Resources to fetch from a FHIR server.

    *reads* are relative references (``Encounter/17``), *searches* go beneath the base (``Coverage?patient=Patient/3``).

    What comes back is a new message of the same channel, linked to this one.
    """

    reads: Sequence[str] = ()
    searches: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Get:
    """One part of a `Fetch`: what stands at *path* beneath the destination's base.

    ``{claim.patientid}`` in it stands for what an earlier part says there. With *each* the part is a list: that key's
    items of this page and of all that follow. An *optional* part is left out where the server does not have it.
    """

    path: str
    each: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """A record to fetch from a REST server, in parts.

    What comes back is a new message of the same channel, linked to this one: a JSON object whose kind is *kind*, with
    the parts by their names, ``read_at`` (when the reading began), and *keys*: texts for its top, such as
    ``{"account": "{claim.claimid}", "mrn": "{claim.patientid}"}``, by which people find it and order is kept.
    """

    kind: str
    parts: Mapping[str, Get]
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What :func:`mapping` was told of a function."""

    accepts: tuple[str, ...]
    returns: tuple[type, ...]


DECLARATION: Final = "__mapping__"
_F = TypeVar("_F", bound=Callable[..., Any])


def mapping(*, accepts: str | Sequence[str], returns: type | Sequence[type]) -> Callable[[_F], _F]:
    """Declare a function as a mapping of the message kinds *accepts* into values of the types *returns*.

    The function gets the message and returns one outcome, several, or yields them. `Skip`, `Hold` and `Reject` need no
    declaration.
    """
    declaration = Declaration(
        accepts=(accepts,) if isinstance(accepts, str) else tuple(accepts),
        returns=(returns,) if isinstance(returns, type) else tuple(returns),
    )

    def declare(function: _F) -> _F:
        setattr(function, DECLARATION, declaration)
        return function

    return declare
