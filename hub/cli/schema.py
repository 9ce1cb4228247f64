"""``hub schema``: the JSON Schemas of a site's files, for editors that complete and underline."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hub.cli.common import UsageError, print_json

FOLDER = Path(".schemas")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("file", nargs="?", help="which: channel, hub, practice, billing, partner, payer, rules")
    parser.add_argument(
        "--write", type=Path, metavar="DIR", help="write all of them below this site, with a .taplo.toml for editors"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one schema, or write them all. Raises `UsageError` for a file that there is none for."""
    from hub.connectors import connectors
    from hub.site.declared import schemas

    known = schemas(connectors())
    if arguments.write is not None:
        written = _write(arguments.write, known)
        if arguments.json:
            print_json({"files": written})
        else:
            print("\n".join(f"  wrote {name}" for name in written))
        return 0
    name = arguments.file or "channel"
    if name not in known:
        raise UsageError("There is no schema of that name.", expected=f"one of {', '.join(known)}", found=name)
    print_json(known[name])
    return 0


def _write(folder: Path, known: dict[str, dict[str, object]]) -> list[str]:
    from hub.site.declared import CHANNEL_FILES, FILES

    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    patterns = {"channel": CHANNEL_FILES, **{name: pattern for name, (pattern, _) in FILES.items()}}
    rules = []
    for name, schema in known.items():
        file = FOLDER / f"{name}.json"
        (folder / file).write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
        rules.append(f'[[rule]]\ninclude = ["{patterns[name]}"]\n[rule.schema]\npath = "{file}"\n')
    (folder / ".taplo.toml").write_text("\n".join(rules), encoding="utf-8")
    return [*(str(FOLDER / f"{name}.json") for name in known), ".taplo.toml"]
