"""The stage of the demonstration: a copy of the repository's site with keys, ports and a fast clock of its own."""

from __future__ import annotations

import json
import random
import secrets
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.core.errors import HubError
from hub.core.vault import create_key_file
from hub.demo.year import enlarge

SITE_FOLDERS = ("channels", "transforms", "config")
USER = "alder"


class StageError(HubError):
    """The demonstration cannot be set up here."""

    code = "H700"


@dataclass(frozen=True, slots=True)
class Play:
    """What is to be played: how many visits, from which seed, with or without faults, and how long a day takes."""

    visits: int
    visits_per_day: int
    seed: int
    faults: bool
    day_seconds: float
    opening: datetime  # business time at the start
    started: float  # real time at the start, seconds since 1970
    store: str = "embedded"
    days: int = 0  # a long play in the larger world; 0: a week and what comes of it

    @property
    def longest_seconds(self) -> float:
        """After how many real seconds it is not going to end by itself any more."""
        return 120.0 + 40 * self.day_seconds + 2.5 * self.days * self.day_seconds

    def clock(self) -> dict[str, Any]:
        """The clock, as the simulators read it."""
        return {
            "business_epoch": self.opening.isoformat(),
            "real_epoch": self.started,
            "day_seconds": self.day_seconds,
        }


def plan_play(
    visits: int,
    seed: int,
    *,
    faults: bool,
    day_seconds: float | None,
    started: float,
    store: str = "embedded",
    days: int = 0,
) -> Play:
    """A week of visits, at a pace that two cores keep up with unless *day_seconds* says otherwise.

    With *days* the visits are spread over so many days of a larger world, and the days are short.
    """
    per_day = max(1, round(visits * 7 / 5 / days)) if days else max(4, -(-visits // 5))
    return Play(
        visits=visits,
        visits_per_day=per_day,
        seed=seed,
        faults=faults,
        day_seconds=day_seconds or (max(1.0, per_day / 8) if days else max(2.5, per_day / 14)),
        opening=datetime(2026, 3, 2, 7, 0, tzinfo=ZoneInfo("America/Chicago")),
        started=started,
        store=store,
        days=days,
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """The folder of one demonstration and what in it belongs to whom."""

    folder: Path
    web_port: int
    mllp_port: int
    hook_port: int
    public_key: str  # of the hub, for the SFTP servers
    hook_token: str
    fhir_token: str

    @property
    def site(self) -> Path:
        """The site that the hub runs."""
        return self.folder / "site"

    @property
    def world(self) -> Path:
        """What belongs to the simulators."""
        return self.folder / "world"

    @property
    def hub_file(self) -> Path:
        """Where the EHR finds the hub's addresses."""
        return self.world / "hub.json"


def set_stage(folder: Path) -> Stage:
    """Copy the repository's site into *folder*; make keys and secrets.

    Raises :class:`StageError` where there is none.
    """
    source = Path(__file__).resolve().parent.parent.parent
    if not (source / "channels").is_dir():
        raise StageError(
            "The demonstration site is not beside the hub's code.",
            where=str(source),
            fix="Run the demonstration from a checkout of the repository.",
        )
    site = folder / "site"
    for name in SITE_FOLDERS:
        shutil.copytree(source / name, site / name, ignore=shutil.ignore_patterns("__pycache__", "local.toml"))
    private, public = _key_pair()
    ports = (_port(8080), _port(2575), _port(8443))
    stage = Stage(folder, *ports, public, secrets.token_urlsafe(24), secrets.token_urlsafe(24))
    create_key_file(site / "var" / "keys.json")
    for name, value in {
        "clearway_key": private,
        "granite_key": private,
        "ehr_hook_token": stage.hook_token,
        "ehr_fhir_token": stage.fhir_token,
    }.items():
        _write_secret(site / "var" / "secrets" / name, value)
    return stage


def configurations(stage: Stage, play: Play) -> dict[str, dict[str, Any]]:
    """What each simulator is told, by its module's name."""
    world = stage.world
    common: dict[str, dict[str, Any]] = {
        name: {
            "seed": play.seed,
            "faults": play.faults,
            "clock": play.clock(),
            "world": "whole" if play.days else "",
            "ready": str(world / f"{name}.ready.json"),
            "books": str(world / f"{name}.books.jsonl"),
            "summary": str(world / f"{name}.summary.json"),
        }
        for name in ("ehr", "clearinghouse", "payer")
    }
    doors = {
        "user": USER,
        "authorized_key": stage.public_key,
        "exchange": str(world / "exchange"),
    }
    common["ehr"] |= {
        "visits": play.visits,
        "visits_per_day": play.visits_per_day,
        "fhir_token": stage.fhir_token,
        "hub_file": str(stage.hub_file),
        "late_seconds": 4.0,
    }
    common["clearinghouse"] |= {**doors, "sftp_root": str(world / "clearway")}
    common["payer"] |= {**doors, "sftp_root": str(world / "granite")}
    return common


def write_overlay(stage: Stage, play: Play, ready: dict[str, dict[str, Any]]) -> None:
    """Point the site at the simulators that are *ready*, let its clock run like theirs, and let it look often."""
    clearway, granite, ehr = ready["clearinghouse"], ready["payer"], ready["ehr"]
    values: dict[str, Any] = {
        "hub.store.url": play.store,
        "hub.web.listen": f"tcp:127.0.0.1:{stage.web_port}",
        "hub.web.tls": False,
        "hub.clock.day_seconds": play.day_seconds,
        "hub.clock.business_epoch": play.opening,
        "hub.clock.real_epoch": datetime.fromtimestamp(play.started, UTC),
        "channels.ehr_visits.source.listen": f"tcp:127.0.0.1:{stage.mllp_port}",
        "channels.ehr_fhir.source.listen": f"tcp:127.0.0.1:{stage.hook_port}",
        "channels.ehr_fhir.destination.fetch.base": ehr["fhir_base"],
        "channels.results_to_ehr.destination.ehr.endpoint": f"tcp:127.0.0.1:{ehr['mllp_port']}",
        "channels.results_to_ehr.destination.ehr.answer_within": "2500ms",
        "channels.results_to_ehr.destination.ehr_fhir.base": ehr["fhir_base"],
        "partners.clearway.batch_every": "4h",
        "partners.granite.batch_every": "4h",
    }
    for number in range(2):
        source = f"channels.responses_in.source[{number}]"
        values[f"{source}.poll"] = "500ms"
        values[f"{source}.settle"] = "2s"  # partners that pause in the middle of a file
    for door, name in ((clearway, "clearway"), (granite, "granite")):
        values |= _door(f"channels.claims_out.destination.{name}", door, "inbound")
    values |= _door("channels.responses_in.source[0]", clearway, "outbound")
    values |= _door("channels.responses_in.source[1]", granite, "outbound")
    for channel, destination in (
        ("claims_out", "clearway"),
        ("claims_out", "granite"),
        ("results_to_ehr", "ehr"),
        ("results_to_ehr", "ehr_fhir"),
        ("ehr_fhir", "fetch"),
    ):
        values[f"channels.{channel}.destination.{destination}.backoff"] = "500ms"
        values[f"channels.{channel}.destination.{destination}.backoff_max"] = "5s"
    if play.days:
        values |= {"partners.clearway.batch_every": "3d", "partners.granite.batch_every": "3d"}
        enlarge(stage.site)
    lines = [f"{json.dumps(key)} = {_toml(value)}" for key, value in values.items()]
    (stage.site / "config" / "local.toml").write_text("\n".join(lines) + "\n")


def _door(prefix: str, ready: dict[str, Any], folder: str) -> dict[str, Any]:
    """An SFTP server's address and its key, which stands behind the host in a known_hosts line."""
    return {
        f"{prefix}.endpoint": f"sftp://127.0.0.1:{ready['sftp_port']}/{folder}",
        f"{prefix}.host_key": " ".join(ready["known_hosts"].split()[1:3]),
    }


def _toml(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)


def _key_pair() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def _write_secret(file: Path, value: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    file.write_text(value)


def _port(wanted: int) -> int:
    """*wanted* when it is free, because people know it; else another that stays ours when the hub is started again.

    It is from below the range that the kernel takes for outgoing connections: one of those could occupy it meanwhile.
    """
    for port in (wanted, *random.sample(range(10_000, 30_000), 100)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StageError("No port is free on this machine.")
