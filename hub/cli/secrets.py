"""``hub secrets set|rotate|list|rm``: passwords and keys of partners, kept encrypted. A value is typed or piped in."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns

if TYPE_CHECKING:
    from hub.site.load import Site


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument(
        "action", choices=("set", "rotate", "list", "rm"), help="rotate: a new value for one that is set already"
    )
    parser.add_argument("name", nargs="?", default="", help="as files name it: { secret = NAME }")
    parser.add_argument("--ends", type=_day, metavar="2027-02-01", help="an alert says so two weeks before that day")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day is written 2027-02-01") from None


def run(arguments: argparse.Namespace) -> int:
    """Do it. The value is asked for twice on a terminal, and read from standard input otherwise."""
    from hub.core.secret import SecretMissingError, SecretName, sealed_secrets
    from hub.site.load import load_site

    site = load_site(site_folder(arguments))
    if arguments.action == "list":
        return _list(site, as_json=arguments.json)
    try:
        secret = SecretName(arguments.name)
    except ValueError:
        raise UsageError(
            "Which secret?",
            expected="a name: lower case letters, digits and _",
            fix=f"hub secrets {arguments.action} NAME",
        ) from None
    sealed = sealed_secrets(site.var)
    known = {entry.name: entry for entry in sealed.entries()}
    if arguments.action != "set" and secret.name not in known:
        raise SecretMissingError(
            f'No secret "{secret.name}" is kept here.',
            where=str(sealed.file),
            expected=", ".join(known),
            fix="`hub secrets list` says where each is found.",
        )
    if arguments.action == "set" and secret.name in known:
        raise UsageError(f'Secret "{secret.name}" is set.', fix=f"hub secrets rotate {secret.name}")
    if arguments.action == "rm":
        sealed.remove(secret.name)
    else:
        sealed.put(secret.name, _value(secret.name), _now(), arguments.ends)
    _record(site, arguments.action, secret.name)
    _say(site, secret, arguments)
    return 0


def _value(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read()
    value = getpass.getpass(f"Value of {name} (nothing is shown): ")
    if value != getpass.getpass("Again: "):
        raise UsageError("The two are not the same; nothing was changed.")
    return value


def _now() -> str:
    from hub.core.clock import at, real_ms

    return at(real_ms()).isoformat(timespec="seconds")


def _record(site: Site, action: str, name: str) -> None:
    """In the audit log, once the site has one."""
    from hub.cli.opened import open_site
    from hub.site.load import SiteError

    try:
        opened = open_site(site.folder)
    except SiteError:  # before the first `hub run` there is no store
        return
    opened.audit(f"{action} secret", "secret", name, detail={})


def _say(site: Site, secret: object, arguments: argparse.Namespace) -> None:
    from hub.core.secret import SecretName, site_secrets

    assert isinstance(secret, SecretName)
    place = site_secrets(site.var).place(secret)
    if arguments.json:
        print_json({"name": secret.name, "found_in": place})
        return
    done = {"set": "is set", "rotate": "has a new value", "rm": "is removed"}[arguments.action]
    print(f'Secret "{secret.name}" {done}. Connections that are opened from now on go by it; no deploy is needed.')
    if place and not (place.endswith("(encrypted)") and arguments.action != "rm"):
        print(f"Mind: it is also found in {place}, which comes first.", file=sys.stderr)


def _list(site: Site, *, as_json: bool) -> int:
    """Each name that the files use or that is kept here: who uses it, where it is found, since when, until when."""
    from hub.core.secret import SecretName, sealed_secrets, site_secrets
    from hub.web.told import secret_ends

    secrets, ends = site_secrets(site.var), secret_ends(site)
    kept = {entry.name: entry for entry in sealed_secrets(site.var).entries()}
    used = _uses(site)
    rows = []
    for name in sorted({*used, *kept}):
        place = secrets.place(SecretName(name))
        shown = str(Path(place).relative_to(site.home)) if place.startswith(f"{site.home}/") else place
        since = kept[name].set_at[:10] if name in kept else ""
        rows.append((name, ", ".join(used.get(name, ())), shown or "NOT SET", since, str(ends.get(name, ""))))
    if as_json:
        print_json([dict(zip(("name", "used_by", "found_in", "set", "ends"), row, strict=True)) for row in rows])
    elif rows:
        print(columns(("NAME", "USED BY", "FOUND IN", "SET", "ENDS"), rows))
    else:
        print("The files of this site name no secret.")
    return int(any(row[2] == "NOT SET" for row in rows))


def _uses(site: Site) -> dict[str, list[str]]:
    """The names that the site's files use, and where."""
    from hub.site.check import secret_names

    used: dict[str, list[str]] = defaultdict(list)
    for channel in site.channels.values():
        ends = [(f"{channel.name} source", settings) for _, settings in channel.sources]
        ends += [(f"{channel.name} {plan.name}", plan.settings) for plan in channel.destinations.values()]
        for place, settings in ends:
            for _, secret in secret_names(settings):
                used[secret.name].append(place)
    for name, secret in secret_names(site.settings.alerts) if site.settings else ():
        used[secret.name].append(f"[alerts] {name}")
    return used
