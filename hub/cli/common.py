"""What commands share: which site they work on, and how findings look."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.core.errors import HubError

if TYPE_CHECKING:
    from hub.site.channels import Channel
    from hub.site.findings import Finding
    from hub.site.load import Site


class UsageError(HubError):
    """The command was asked in a way that cannot be done."""

    code = "H216"


class NoChannelError(UsageError):
    """The site has no such channel."""

    code = "H218"


def site_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--site DIR``."""
    parser.add_argument("--site", type=Path, default=Path(), metavar="DIR", help="the site's folder (default: here)")


def site_folder(arguments: argparse.Namespace) -> Path:
    """The folder of the site that the command works on. Raises :class:`UsageError` when it is none."""
    folder: Path = arguments.site
    if not (folder / "config" / "hub.toml").is_file():
        raise UsageError(
            "This folder is no site.",
            where=str(folder.resolve()),
            expected="config/hub.toml",
            fix="Go to one, name one with --site DIR, or make one with `hub init DIR`.",
        )
    return folder


def channel_of(site: Site, name: str) -> Channel:
    """The site's channel *name*. Raises :class:`NoChannelError`, or `SiteError` when its file has errors."""
    from hub.site.findings import did_you_mean

    if name in site.channels:
        return site.channels[name]
    if any(finding.file == f"channels/{name}.toml" for finding in site.errors):
        site.require_sound()
    known = ", ".join(site.channels)
    fix = did_you_mean(name, site.channels).capitalize()
    raise NoChannelError(f'There is no channel "{name}".', expected=f"one of {known}", fix=fix)


def print_findings(findings: Iterable[Finding]) -> None:
    """One line for each finding, its fix below it, places first so that terminals and editors open them."""
    rows = list(findings)
    width = min(max((len(row.place) for row in rows), default=0), 44)
    for row in rows:
        print(f"{row.place:<{width}}  {row.code}  {row.level:<7}  {row.sentence}")
        if row.fix:
            print(f"{'':<{width}}                 {row.fix}")


def print_json(value: Any) -> None:
    """*value* as JSON for programs."""
    print(json.dumps(value, indent=1, ensure_ascii=False))
