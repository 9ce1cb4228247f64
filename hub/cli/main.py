"""``hub``: finds the command, runs it, and says what went wrong in a sentence, never in a traceback.

A command is a module of this package with ``arguments(parser)`` and ``run(arguments) -> int``; it is imported only
when asked for. Exit codes: 0 good, 1 findings or failure, 2 usage.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches

from hub.cli.common import UsageError
from hub.core.errors import HubError

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("hub.cli.init", "make a new site that can run"),
    "new": ("hub.cli.new", "write a channel that works: file, mapping, sample, expectation"),
    "check": ("hub.cli.check", "find what is wrong with a site; changes nothing"),
    "try": ("hub.cli.try_", "run one message through a channel, nothing sent"),
    "test": ("hub.cli.test", "run the sample messages of a site"),
    "demo": ("hub.cli.demo", "play a whole practice against a real hub, and reconcile it to the cent"),
    "bench": ("hub.cli.bench", "measure what the durable path carries on this machine"),
    "run": ("hub.cli.run", "run a site until Ctrl-C"),
    "stop": ("hub.cli.stop", "have the hub that runs end in order; what waits stays on disk"),
    "connect": ("hub.cli.connect", "can a destination be reached and logged in to; writes nothing"),
    "tap": ("hub.cli.tap", "messages as they come in or leave, masked"),
    "top": ("hub.cli.top", "the status, live"),
    "diff": ("hub.cli.diff", "what the files would change, also in the output for recorded messages"),
    "deploy": ("hub.cli.deploy", "have the running hub go over to the files as they are now"),
    "history": ("hub.cli.history", "which version ran from when on, who deployed it and why"),
    "rollback": ("hub.cli.rollback", "have the running hub go back to an earlier version"),
    "send": ("hub.cli.send", "send messages to a listener, a hook or a folder; see every answer"),
    "status": ("hub.cli.status", "channels, what waits and why, and whether everything adds up"),
    "alerts": ("hub.cli.alerts", "what is wrong now, one line per cause; tells people by mail and webhook"),
    "reconcile": ("hub.cli.reconcile", "where everything stands, to the cent: lost, waiting, and whose it is"),
    "denials": ("hub.cli.denials", "what payers refused, what to work first, which reasons no rule covers"),
    "entries": ("hub.cli.entries", "what a balance is made of, each cent with the segment that says it"),
    "close": ("hub.cli.close", "freeze a month's figures; what was corrected of it later"),
    "payments": ("hub.cli.payments", "payments by hand: match, undo, mend, type in from paper"),
    "bank": ("hub.cli.bank", "hold what the bank took in against the remittances"),
    "find": ("hub.cli.find", "find messages by patient, account, claim, control id, kind or outcome"),
    "show": ("hub.cli.show", "what happened to a message, and what it says (masked)"),
    "replay": ("hub.cli.replay", "send messages again, for a reason"),
    "backup": ("hub.cli.backup", "a checked copy of store and site, while the hub works"),
    "restore": ("hub.cli.restore", "put a backup back; nothing is sent or numbered twice"),
    "upgrade": ("hub.cli.upgrade", "bring the store to this version's schema, after a backup"),
    "keys": ("hub.cli.keys", "which keys seal the store; a new one; seal old values anew"),
    "jwks": ("hub.cli.jwks", "the public keys that FHIR servers check our signatures with; a new key"),
    "secrets": ("hub.cli.secrets", "passwords and keys by name: set, rotate, list, remove; kept encrypted"),
    "user": ("hub.cli.user", "who may sign in"),
    "audit": ("hub.cli.audit", "whether the audit log is whole, and who saw a patient"),
    "rules": ("hub.cli.rules", "what a payer's rules are, did to a claim, and would have done"),
    "explain-claim": ("hub.cli.explain_claim", "where each element of a claim's 837 came from"),
    "shadow": ("hub.cli.shadow", "hold what another system sent against the hub's own claims"),
    "refdata": ("hub.cli.refdata", "load the code sets that edits look up"),
    "schema": ("hub.cli.schema", "the JSON Schemas of a site's files, for editors"),
    "docs": ("hub.cli.docs", "the reference of the connectors"),
    "explain": ("hub.cli.explain", "what a code or a field means, with the fix"),
}
"""Module and summary by command name, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* (those of the process when not given) ask for, and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
        return 0 if words else 2
    name, *rest = words
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, 1)
        told = f'Did you mean "hub {close[0]}"?' if close else _help()
        print(f'hub: there is no command "{name}".\n\n{told}', file=sys.stderr)
        return 2
    module_name, summary = COMMANDS[name]
    module = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(prog=f"hub {name}", description=f"{summary[0].upper()}{summary[1:]}.")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    module.arguments(parser)
    try:
        parsed = parser.parse_args(rest)
    except SystemExit as done:  # argparse has printed help or what is wrong
        return int(done.code or 0)
    return _run(module.run, parsed)


def _run(run: object, parsed: argparse.Namespace) -> int:
    assert callable(run)
    try:
        return int(run(parsed))
    except HubError as error:
        _say(error, as_json=parsed.json)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  the reader has gone; nothing more to say
        return 0
    except Exception as error:
        # Its text may quote patient data; its type and place may be told.
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}:{last.lineno}"
        _say(HubError(f"This is our mistake: {type(error).__name__}.", where=place), as_json=parsed.json)
        return 1


def _say(error: HubError, *, as_json: bool) -> None:
    if as_json:
        names = ("code", "what", "where", "expected", "found", "fix")
        print(json.dumps({"error": {name: getattr(error, name) for name in names}}))
    else:
        print(error, file=sys.stderr)


def _help() -> str:
    lines = ["usage: hub COMMAND [options]", ""]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join([*lines, "", "hub COMMAND --help says more."])


if __name__ == "__main__":
    sys.exit(main())
