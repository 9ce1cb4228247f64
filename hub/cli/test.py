"""``hub test``: the sample folders of a site, each message against what is expected of it, field by field."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.cli.common import channel_of, print_json, site_argument, site_folder

if TYPE_CHECKING:
    from hub.site.coverage import Reached
    from hub.site.samples import Case, Difference


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sample: the files that were *updated*, and where it differs all the same."""

    case: Case
    updated: list[str]
    differences: list[Difference]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("channel", nargs="?", help="only this channel's samples")
    parser.add_argument("--update", action="store_true", help="write what comes out as what is expected")


def run(arguments: argparse.Namespace) -> int:
    """Run the samples; 1 when one differs. Samples hold invented people, so nothing is masked."""
    from hub.site import samples
    from hub.site.coverage import Coverage
    from hub.site.load import load_site
    from hub.site.sampled import scripts_of

    site = load_site(site_folder(arguments))
    names = [channel_of(site, arguments.channel).name] if arguments.channel else list(site.channels)
    cases = [case for name in names for case in samples.cases(site.folder, name)]
    modules = list(dict.fromkeys(module for name in names for module in scripts_of(site, site.channels[name])))
    for module in modules:
        site.scripts.module(module)  # loading is no part of what the samples reach
    coverage = Coverage(site.scripts.folder)
    report = []
    for case in cases:
        changed = samples.update(site, case) if arguments.update else []
        with coverage.noting():
            report.append(Outcome(case, changed, samples.differences(site, case)))
    reached = coverage.of(site.scripts, modules)
    if arguments.json:
        print_json(_document(report, reached))
    else:
        _print_report(report, reached)
    return int(not cases or any(each.differences for each in report))


def _document(report: list[Outcome], reached: list[Reached]) -> dict[str, Any]:
    return {
        "samples": [
            {
                "case": each.case.shown,
                "ok": not each.differences,
                "updated": each.updated,
                "differences": [{"place": d.place, "expected": d.expected, "found": d.found} for d in each.differences],
            }
            for each in report
        ],
        "coverage": [{"file": each.file, "lines": each.lines, "missed": each.missed} for each in reached],
    }


def _print_report(report: list[Outcome], reached: list[Reached]) -> None:
    from hub.site.coverage import shown

    for each in report:
        print(f"{'differs' if each.differences else 'updated' if each.updated else 'ok':<8} {each.case.shown}")
        for name in each.updated:
            print(f"         wrote {name}")
        for difference in each.differences:
            print(f"         {difference.place}")
            print(f"           expected {difference.expected}")
            print(f"           found    {difference.found}")
    good = sum(1 for each in report if not each.differences)
    print(f"\n{good} of {len(report)} samples as expected." if report else "This site has no samples.")
    for script in reached:
        if script.missed:
            print(f"  {script.file}: no sample reaches {shown(script.missed)}")
    lines, missed = sum(each.lines for each in reached), sum(len(each.missed) for each in reached)
    print(f"They reach {lines - missed} of the {lines} lines of {len(reached)} mapping scripts.")
