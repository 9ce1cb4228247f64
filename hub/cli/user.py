"""``hub user add|password|disable|enable|list``: who may sign in to the pages."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns
from hub.core.clock import real_ms
from hub.security.passwords import hash_password, objection, random_password
from hub.security.users import ROLES, UserError, find_user, list_users

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("action", choices=("add", "password", "disable", "enable", "list"))
    parser.add_argument("name", nargs="?", default="", help="the account: lower case, such as m.okafor")
    parser.add_argument("--title", default="", help="the person's name (add)")
    parser.add_argument("--roles", default="", metavar="A,B", help=f"of {', '.join(ROLES)} (add)")
    parser.add_argument("--channels", default="", metavar="A,B", help="only these channels (add); otherwise all")
    parser.add_argument("--organisations", default="", metavar="A,B", help="only these (add); otherwise all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--prompt", action="store_true", help="type the password instead of having one made")
    how.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def run(arguments: argparse.Namespace) -> int:
    """Do it, through the engine when it runs."""
    from hub.cli.opened import open_site
    from hub.store.database import reading

    if not arguments.name and arguments.action != "list":
        raise UsageError("Whose account?", expected=f"hub user {arguments.action} NAME")
    opened = open_site(site_folder(arguments))
    if arguments.action == "list":
        return _list(opened, arguments)
    if arguments.action in {"disable", "enable"}:
        opened.write("user_disable", {"name": arguments.name, "disabled": arguments.action == "disable"})
        _say(arguments, f"{arguments.name} is {arguments.action}d.")
        return 0
    with reading(opened.store) as connection:
        exists = find_user(connection, arguments.name) is not None
    if exists == (arguments.action == "add"):  # asked before a password is typed
        sentence = "There is an account of that name." if exists else "There is no account of that name."
        raise UserError(sentence, where=arguments.name, fix="List them with `hub user list`.")
    password, chosen = _password(arguments)
    values = {"name": arguments.name, "password_hash": hash_password(password), "must_change": not chosen}
    if arguments.action == "add":
        lists = {name: _listed(getattr(arguments, name)) for name in ("roles", "channels", "organisations")}
        opened.write("user_add", {**values, "title": arguments.title, **lists})
    else:
        opened.write("user_password", values)
    _say(arguments, f"{arguments.name} can sign in.", "" if chosen else password)
    return 0


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _list(opened: OpenedSite, arguments: argparse.Namespace) -> int:
    from hub.store.database import reading

    with reading(opened.store) as connection:
        users = list_users(connection)
    now = real_ms()
    rows = [
        (user.name, user.title, " ".join(user.roles), _state(user.disabled, user.locked_until_at > now))
        for user in users
    ]
    if arguments.json:
        print_json([dict(zip(("name", "title", "roles", "state"), row, strict=True)) for row in rows])
    else:
        print(columns(("NAME", "TITLE", "ROLES", "STATE"), rows))
    return 0


def _state(disabled: bool, locked: bool) -> str:
    return "disabled" if disabled else "locked" if locked else "active"


def _password(arguments: argparse.Namespace) -> tuple[str, bool]:
    """The password, and whether a person chose it. A made one must be changed at the first sign-in."""
    if arguments.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif arguments.prompt:
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            raise UsageError("The two are not the same.")
    else:
        return random_password(), False
    against = objection(password, arguments.name)
    if against:
        raise UsageError("This password cannot be taken.", fix=against)
    return password, True


def _say(arguments: argparse.Namespace, sentence: str, password: str = "") -> None:
    if arguments.json:
        print_json({"name": arguments.name, **({"password": password} if password else {})})
        return
    print(sentence)
    if password:
        print(f"Password, shown this once: {password}")
