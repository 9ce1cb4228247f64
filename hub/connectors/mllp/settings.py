"""What a channel may say of its MLLP listeners and senders.

Some departures from the standard are always accepted, because they cannot be misunderstood: segments that end in LF or
CRLF, a byte order mark, blank lines and control characters between blocks, a block whose final 0x0D does not come
(after a short silence), several messages in one block, line breaks inside a field, odd versions, a fifth character in
MSH-2. Those that could be misunderstood are accepted only where ``lenient`` names them. Anything else that comes
outside of a block is kept as refused (:mod:`hub.connectors.mllp.outside`).
"""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hub.connectors.settings import ConnectTo, ListenAt
from hub.connectors.tls import ClientSecurity, ListenerSecurity
from hub.core.units import Duration, Size

SILENCE = 0.2
"""Seconds after which a block whose final 0x0D is missing counts as whole."""

Leniency = Literal["no_start_block", "no_final_cr", "no_control_id", "original_mode", "any_processing_id"]


def _known_encoding(name: str) -> str:
    if name:
        try:
            codecs.lookup(name)
        except LookupError:
            raise ValueError('no such encoding; use a name such as "utf-8", "cp1252" or "iso-8859-1"') from None
    return name


class MllpDestinationSettings(ClientSecurity):
    """A sender of HL7 v2 messages that waits for each answer."""

    endpoint: ConnectTo = Field(description="The receiver's address.", examples=["tcp:ehr.clinic.example:6661"])
    tls: bool = Field(
        False,
        description="Whether the connection is encrypted; the receiver's certificate must then name the endpoint's "
        "host.",
        examples=[True],
    )
    connections: int = Field(
        1, ge=1, le=64, description="How many connections; each carries one message at a time.", examples=[1]
    )
    connect_within: Duration = Field(10.0, description="How long to wait for a connection.", examples=["10s"])
    answer_within: Duration = Field(30.0, description="How long to wait for the answer.", examples=["30s"])
    idle_close: Duration = Field(300.0, description="An unused connection is closed after so long.", examples=["5m"])
    keepalive: Duration = Field(
        60.0,
        description="After so long a silence the system asks, below TCP, whether the receiver is still there; three "
        "questions without an answer end the connection.",
        examples=["60s"],
    )

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> Self:
        if not self.tls and (self.trust or self.certificate):
            raise ValueError("trust and certificate are for tls = true")
        return self


class MllpSourceSettings(ListenerSecurity):
    """A listener for HL7 v2 messages."""

    listen: ListenAt = Field(
        description="Where to listen. Without a host, on every interface.",
        examples=["tcp:2575", "tcp:127.0.0.1:2575"],
    )
    tls: bool = Field(
        False,
        description="Whether connections are encrypted. Off is for this machine, or a network that encrypts by itself.",
        examples=[True],
    )
    lenient: tuple[Leniency, ...] = Field(
        (),
        description="Departures from the standard that this sender needs. no_start_block: a block may begin with MSH, "
        "FHS or BHS instead of 0x0B. no_final_cr: 0x1C alone ends a block, at once; else its 0x0D is waited for. "
        "no_control_id: a message may be without MSH-10, which the standard requires and answers repeat; else it is "
        "refused with AE. "
        "original_mode: MSH-15 and MSH-16 are ignored and every message is answered AA, AE or AR, for senders that "
        "fill them and do not know what they ask for. any_processing_id: MSH-11 is ignored, for test systems that "
        "mark their messages as production.",
        examples=[["original_mode"]],
    )
    join: bool = Field(
        True,
        description="Whether messages that are sent in parts (DSC, MSH-14) are put together. Each part is stored and "
        "answered, and counts as filtered; the whole message is stored with the last one, also after a restart between "
        "them. Parts that never become whole are work items. Off for senders that write something else there.",
        examples=[True],
    )
    max_message: Size = Field(16 << 20, description="A longer message closes its connection.", examples=["16MB"])
    idle: Duration = Field(
        600.0,
        description="A connection that is silent, or does not read its answers, for so long is closed. Parts of a "
        "message wait for the next one for so long.",
        examples=["10m"],
    )
    keepalive: Duration = Field(
        60.0,
        description="After so long a silence the system asks, below TCP, whether the sender is still there; three "
        "questions without an answer end the connection.",
        examples=["60s"],
    )
    max_connections: int = Field(
        200, ge=1, description="A connection beyond so many is closed at once.", examples=[200]
    )
    unanswered: int = Field(
        64,
        ge=1,
        description="How many messages of a connection may wait for their commit before reading stops.",
        examples=[64],
    )
    processed_within: Duration = Field(
        15.0,
        description='How long an answer may wait for the end of the steps (ack = "processed", or MSH-16 without '
        "MSH-15); after that it says that the message is stored.",
        examples=["15s"],
    )
    unlisted: Literal["filter", "refuse"] = Field(
        "filter",
        description="What happens to a type that the channel does not accept: kept, answered AA and counted "
        "as filtered, or refused with AR.",
        examples=["filter"],
    )
    application_acks: MllpDestinationSettings | None = Field(
        None,
        description="Where application acknowledgements (MSH-16) go, for senders that take them on another connection "
        "and answer each with an accept acknowledgement; a table of its own, [source.application_acks]. What is owed "
        "at a restart is sent after it; what is refused, or not taken in seven minutes while others are, is a work "
        "item. While none is taken all wait, and one work item says how many and since when. Without the table they go "
        "back on the connection that the message came on.",
        examples=[{"endpoint": "tcp:ehr.clinic.example:2576"}],
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "",
        description="How to read messages, whatever they say in MSH-18. Empty: as MSH-18 says, else UTF-8, else "
        "Windows-1252. UTF-16 and UTF-32 are known by their first bytes.",
        examples=["cp1252"],
    )
