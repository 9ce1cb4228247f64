"""``hub test``: the sample folders of a site, each message against what is expected of it, field by field."""

from __future__ import annotations

import argparse

from hub.cli.common import channel_of, print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("channel", nargs="?", help="only this channel's samples")
    parser.add_argument("--update", action="store_true", help="write what comes out as what is expected")


def run(arguments: argparse.Namespace) -> int:
    """Run the samples; 1 when one differs. Samples hold invented people, so nothing is masked."""
    from hub.site import samples
    from hub.site.coverage import Coverage, shown
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
            found = samples.differences(site, case)
        report.append((case, changed, found))
    reached = coverage.of(site.scripts, modules)
    failed = [case for case, _, found in report if found] or not cases
    if arguments.json:
        print_json(
            {
                "samples": [
                    {
                        "case": case.shown,
                        "ok": not found,
                        "updated": changed,
                        "differences": [{"place": d.place, "expected": d.expected, "found": d.found} for d in found],
                    }
                    for case, changed, found in report
                ],
                "coverage": [{"file": r.file, "lines": r.lines, "missed": r.missed} for r in reached],
            }
        )
        return int(bool(failed))
    for case, changed, found in report:
        print(f"{'differs' if found else 'updated' if changed else 'ok':<8} {case.shown}")
        for name in changed:
            print(f"         wrote {name}")
        for difference in found:
            print(f"         {difference.place}")
            print(f"           expected {difference.expected}")
            print(f"           found    {difference.found}")
    good = sum(1 for _, _, found in report if not found)
    print(f"\n{good} of {len(report)} samples as expected." if report else "This site has no samples.")
    for each in reached:
        if each.missed:
            print(f"  {each.file}: no sample reaches {shown(each.missed)}")
    lines, missed = sum(each.lines for each in reached), sum(len(each.missed) for each in reached)
    print(f"They reach {lines - missed} of the {lines} lines of {len(reached)} mapping scripts.")
    return int(bool(failed))
