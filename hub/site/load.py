"""A site read from its folder: settings, channels, billing's configuration, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from hub.billing.config import BillingConfig
from hub.connectors import connectors
from hub.core.clock import BusinessClock
from hub.core.errors import HubError
from hub.engine.contracts import Connector, Task
from hub.site import config
from hub.site.bundle import Bundle, bundle_folder, current, read_bundle
from hub.site.channels import Channel, read_channel
from hub.site.describe import describer
from hub.site.files import TomlFile, read_toml
from hub.site.findings import Finding
from hub.site.mapping import map_messages as mapping_task
from hub.site.overlay import OVERLAY, Overlay
from hub.site.scripts import Scripts
from hub.site.settings import HubSettings


class SiteError(HubError):
    """A site cannot be used as it is."""

    code = "H215"


@dataclass(frozen=True)
class Site:
    """A site.

    *folder* is where its files were read, *home* where its ``var/`` is: another place for a version that runs.
    *settings* and *billing* are None where their files are too wrong: see *findings*. *unsound* are the channels that
    cannot run as they are, as far as they can be told.
    """

    folder: Path
    home: Path
    bundle: str
    settings: HubSettings | None
    billing: BillingConfig | None
    channels: dict[str, Channel]
    findings: tuple[Finding, ...]
    unsound: tuple[Channel, ...] = ()

    @property
    def var(self) -> Path:
        """The site's working folder: store, keys, secrets, socket. It is never part of the bundle."""
        return self.home / "var"

    @property
    def organisation(self) -> str:
        """Whose rows these are."""
        return self.billing.practice.organisation if self.billing else ""

    @cached_property
    def zone(self) -> ZoneInfo:
        """The practice's time zone; UTC where that cannot be read."""
        try:
            return ZoneInfo(self.billing.practice.time_zone if self.billing else "UTC")
        except (KeyError, OSError, ValueError):
            return ZoneInfo("UTC")

    @cached_property
    def clock(self) -> BusinessClock:
        """The business clock that the settings ask for."""
        clock = self.settings.clock if self.settings else None
        if clock is None or clock.business_epoch is None or clock.real_epoch is None:
            return BusinessClock(self.zone)
        return BusinessClock(
            self.zone,
            int(clock.business_epoch.timestamp() * 1000),
            int(clock.real_epoch.timestamp() * 1000),
            clock.day_seconds,
        )

    @cached_property
    def scripts(self) -> Scripts:
        """The mapping scripts, loaded when first used."""
        return Scripts(self.folder / "transforms")

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the site from running."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    def require_sound(self) -> Site:
        """Return the site. Raises :class:`SiteError` with the first error when it has one."""
        if self.errors:
            first = self.errors[0]
            more = f" There are {len(self.errors)} errors." if len(self.errors) > 1 else ""
            raise SiteError(
                first.sentence + more, where=first.place, fix="`hub check` shows every finding with its fix."
            )
        return self


def load_running(home: Path, name: str = "") -> Site:
    """The site at *home* as it runs: its bundle *name*, or the current one. Raises nothing for what stands in it."""
    home = home.resolve()
    return load_site(bundle_folder(home, name or current(home)), home=home)


def load_site(folder: Path, known: Mapping[str, Connector] | None = None, home: Path | None = None) -> Site:
    """The site at *folder*, with every finding about its files. Raises nothing for what stands in them.

    *known* are the connectors by name; those of the package when not given. *home* is where its ``var/`` is, when that
    is elsewhere. Scripts are not loaded:
    :func:`hub.site.check.check_site` does that.
    """
    folder = folder.resolve()
    known = connectors() if known is None else known
    findings: list[Finding] = []
    overlay_file = read_toml(folder, OVERLAY) if (folder / OVERLAY).exists() else None
    if isinstance(overlay_file, Finding):
        findings.append(overlay_file)
        overlay_file = None
    overlay = Overlay(overlay_file)
    settings, found = config.read_settings(folder, overlay)
    findings += found
    billing, found = config.read_billing(folder, settings, overlay)
    findings += found
    channels, unsound, found = _channels(folder, overlay, known)
    findings += found + overlay.findings()
    bundle: Bundle = read_bundle(folder)
    if billing is not None:
        billing = replace(billing, bundle=bundle.name)
    return Site(
        folder, home.resolve() if home else folder, bundle.name, settings, billing, channels, tuple(findings), unsound
    )


def map_messages(site: Site) -> Task:
    """The ``map`` task of *site*, with every script that a step names loaded.

    Raises `ScriptError` when one cannot be.
    """
    for channel in site.channels.values():
        for step in (each for each in channel.steps if each.run):
            site.scripts.function(step.module, step.function)
    return mapping_task(site.channels, site.scripts, site.zone)


def _channels(
    folder: Path, overlay: Overlay, known: Mapping[str, Connector]
) -> tuple[dict[str, Channel], tuple[Channel, ...], list[Finding]]:
    channels: dict[str, Channel] = {}
    unsound: list[Channel] = []
    findings: list[Finding] = []
    names = sorted(path.name for path in (folder / "channels").glob("*.toml"))
    if not names:
        findings.append(
            Finding("channels", 0, 0, "H203", "error", "This site has no channels.", "Write channels/NAME.toml.")
        )
    for name in names:
        file = read_toml(folder, f"channels/{name}")
        if isinstance(file, Finding):
            findings.append(file)
            continue
        channel, found = _channel(file, overlay, known)
        findings += found
        if channel is not None and channel.sound:
            channels[channel.name] = channel
        elif channel is not None:
            unsound.append(channel)
    return channels, tuple(unsound), findings


def _channel(file: TomlFile, overlay: Overlay, known: Mapping[str, Connector]) -> tuple[Channel | None, list[Finding]]:
    stem = file.name.rpartition("/")[2].removesuffix(".toml")
    overlay.lay_over(("channels", stem), file.data)
    channel, findings = read_channel(file, known)
    if channel is None:
        return None, findings
    return replace(channel, describe=describer(channel.format, channel.lane, channel.encoding)), findings
