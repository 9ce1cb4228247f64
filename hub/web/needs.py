"""What needs a person: one sentence for each cause, since when, whose it is, the first thing to try, one link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hub.core.clock import real_ms
from hub.web.channel_view import ChannelView
from hub.web.queries import status as queries
from hub.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person: what, since when, the first thing to try, one link.

    *key* names its cause, so that it can be taken (*owner*) or snoozed (until a time, with a reason), on the page and
    in what is sent alike. *channel* is the one it is about, if any; *right* what a person must be allowed to do to be
    told of it. *work* is what lies in a queue for people anyway: it is shown, and nobody is called for it.
    """

    key: str
    state: str
    sentence: str
    first: str
    since: str
    address: str
    link: str
    channel: str = ""
    right: str = ""
    work: bool = False
    owner: str = ""
    snoozed_until: int = 0
    snooze_reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the hub has before it: the store, the channels as they stand, and *problem* with the engine."""

    connection: Connection
    settings: WebSettings
    channels: Sequence[ChannelView]
    waits: Sequence[queries.Waiting]
    problem: str
    now: int
    business_now: int
    today: str


def look_around(
    connection: Connection,
    settings: WebSettings,
    channels: Sequence[ChannelView],
    waits: Sequence[queries.Waiting],
    problem: str,
) -> Seen:
    """What stands before whoever looks now."""
    clock = settings.clock
    today = clock.today().isoformat()
    return Seen(connection, settings, channels, waits, problem, real_ms(), clock.now_ms(), today)
