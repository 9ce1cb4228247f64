"""What the web process is told about its site: names, channels, the clock. Nothing of it is secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from hub.core.clock import BusinessClock


@dataclass(frozen=True, slots=True)
class DestinationInfo:
    """One destination as its channel file declares it. *address* is without credentials."""

    name: str
    type: str
    address: str = ""
    order: str = ""
    ambiguous: str = ""


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """One channel as its file declares it; from its ``[alerts]`` what counts as too long (seconds) or too many."""

    name: str
    title: str = ""
    owner: str = ""
    source: str = ""
    destinations: tuple[DestinationInfo, ...] = ()
    quiet_after: float | None = None
    queue_age: float = 1800.0
    errors: int = 1
    error_window: float = 3600.0


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """One rule for a payer's claims, as its file says it."""

    name: str
    layer: str
    verb: str
    severity: str
    say: str
    source: str
    in_force: str


@dataclass(frozen=True, slots=True)
class PayerInfo:
    """One payer as its file declares it, with the rules of every layer for its claims."""

    name: str
    partner: str
    source: str
    filing_days: int
    decides_within: int
    accepts_replacement: bool
    appeal_days: tuple[int, ...]
    interim: int | str | None
    late_charges: str
    rules: tuple[RuleInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Everything that pages need to know of the site.

    *environment* is ``production`` or ``test``. *secure* means that browsers reach the pages over TLS: cookies are then
    sent over nothing else. *payers* maps payer ids to the names billers use. *folder* is the site's, whose mappings
    previews run, each for *mapping_seconds* at most; *files* are those of the bundle as it runs. *certificates* are the
    files of those that the site shows or trusts, *secret_ends* says of which secrets the end is known.
    *key_set* makes the document of the public keys by which the site's connectors prove who they are (a JSON Web Key
    Set).
    """

    title: str
    organisation: str
    environment: str
    zone: str
    control_socket: Path
    clock: BusinessClock
    bundle: str = ""
    channels: tuple[ChannelInfo, ...] = ()
    payers: dict[str, str] = field(default_factory=dict)
    payer_infos: dict[str, PayerInfo] = field(default_factory=dict)
    secure: bool = False
    live_seconds: float = 2.0
    folder: Path | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    mapping_seconds: float = 10.0
    api_per_minute: int = 600
    certificates: tuple[Path, ...] = ()
    secret_ends: Callable[[], Mapping[str, date]] = dict
    key_set: Callable[[], bytes] = lambda: b'{"keys": []}'
