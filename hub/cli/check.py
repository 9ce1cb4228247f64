"""``hub check``: every finding about a site at once, each with its place, code and fix. Nothing is changed."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from hub.cli.common import print_findings, print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("path", nargs="*", help="only findings about these files or folders of the site")
    parser.add_argument("--deny", choices=["warnings"], help="fail for warnings, too")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 when there is an error (or a warning that is denied)."""
    from hub.site.check import check_site
    from hub.site.load import load_site
    from hub.site.ports import taken_ports

    site = load_site(site_folder(arguments))
    findings = [found for found in (*check_site(site), *taken_ports(site)) if _wanted(found.file, arguments.path)]
    counts = Counter(found.level for found in findings)
    failed = counts["error"] > 0 or (arguments.deny == "warnings" and counts["warning"] > 0)
    if arguments.json:
        print_json({"ok": not failed, "bundle": site.bundle, "findings": [found.plain() for found in findings]})
        return int(failed)
    print_findings(findings)
    if findings:
        print()
    print(
        f"{_count(counts['error'], 'error')}, {_count(counts['warning'], 'warning')}.  "
        f"Bundle {site.bundle}: {_count(len(site.channels), 'channel')}.  Nothing was changed."
    )
    first = next((found for found in findings if found.level == "error"), None)
    if first:
        print(f"hub explain {first.code}")
    return int(failed)


def _wanted(file: str, paths: list[str]) -> bool:
    return not paths or any(Path(file).is_relative_to(Path(path)) for path in paths)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
