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
    from hub.site.load import load_site

    site = load_site(site_folder(arguments))
    names = [channel_of(site, arguments.channel).name] if arguments.channel else list(site.channels)
    cases = [case for name in names for case in samples.cases(site.folder, name)]
    report = []
    for case in cases:
        changed = samples.update(site, case) if arguments.update else []
        found = samples.differences(site, case)
        report.append((case, changed, found))
    failed = [case for case, _, found in report if found] or not cases
    if arguments.json:
        print_json(
            [
                {
                    "case": case.shown,
                    "ok": not found,
                    "updated": changed,
                    "differences": [{"place": d.place, "expected": d.expected, "found": d.found} for d in found],
                }
                for case, changed, found in report
            ]
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
    return int(bool(failed))
