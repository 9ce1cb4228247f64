"""``hub explain H204`` or ``hub explain FT1-25``: what a code or a field means, and what to do."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from hub.cli.common import UsageError, print_json, site_argument
from hub.core.errors import HubError

_CODE = re.compile(r"[Hh]\d+\Z")


class UnknownSubjectError(UsageError):
    """Neither a code of ours nor a path."""

    code = "H219"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("subject", help="a code (H204) or a path (FT1-25, PID-3.1)")
    parser.add_argument("--version", default="2.5.1", help="the HL7 version for paths (default 2.5.1)")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation. Raises :class:`UnknownSubjectError` when there is none."""
    from hub.site.explanations import EXPLANATIONS

    subject = arguments.subject.strip()
    explanation = EXPLANATIONS.get(subject.upper())
    if explanation:
        if arguments.json:
            print_json({"code": subject.upper(), "what": explanation.what, "fix": explanation.fix})
        else:
            print(f"{subject.upper()}  {explanation.what}\n      {explanation.fix}")
        return 0
    if _CODE.match(subject):
        raise UnknownSubjectError("There is no such code.", found=subject.upper(), fix="Codes are H100 to H799.")
    if subject[:1] == "Z":
        return _explain_own(subject, arguments.site, as_json=arguments.json)
    return _explain_path(subject, arguments.version, as_json=arguments.json)


def _explain_own(subject: str, folder: Path, *, as_json: bool) -> int:
    """A segment of the site's own, as its file declares it."""
    from hub.site.site_segments import SEGMENTS, read_segments

    declared, _ = read_segments(folder)
    name, _, number = subject.partition("-")
    segment = declared.get(name)
    if segment is None or (number and number not in segment.fields):
        fix = f"Declare it in {SEGMENTS}."
        raise UnknownSubjectError("This site declares no such segment or field.", found=subject, fix=fix)
    fields = {key: what for key, what in segment.fields.items() if not number or key == number}
    if as_json:
        print_json({"segment": name, "title": segment.title, "fields": fields})
        return 0
    print(f"{name}  {segment.title}")
    for key, what in fields.items():
        print(f"  {f'{name}-{key}':<10} {what}")
    return 0


def _explain_path(subject: str, version: str, *, as_json: bool) -> int:
    from hub.formats.hl7v2.names import segment_name
    from hub.formats.hl7v2.path import parse_path
    from hub.formats.hl7v2.structures import field

    try:
        path = parse_path(subject)
    except HubError as error:
        raise UnknownSubjectError(
            "That is neither a code nor a path.", found=subject, fix=error.fix or "Try H204 or FT1-25."
        ) from None
    found = field(path.segment, path.field, version)
    if found is None:
        raise UnknownSubjectError("No version of the standard has that field.", found=subject)
    chain = [(f"{path.segment}-{path.field}", found)]
    for number in (path.component, path.subcomponent):
        part = chain[-1][1].parts.get(number or 0)
        if part:
            chain.append((f"{chain[-1][0]}.{number}", part))
    place, element = chain[-1]
    parts = [(f"{place}.{number}", part) for number, part in sorted(element.parts.items())]
    if as_json:
        print_json(
            {
                "path": place,
                "segment": segment_name(path.segment),
                "title": element.title,
                "datatype": element.datatype,
                "version": element.version,
                "repeats": element.repeats,
                "parts": [{"path": name, "title": part.title, "datatype": part.datatype} for name, part in parts],
            }
        )
        return 0
    print(f"{path.segment}  {segment_name(path.segment)}")
    for name, part in chain:
        repeats = ", repeats" if part.repeats and part is found else ""
        print(f"  {name:<10} {part.title}  ({part.datatype}{repeats}, version {part.version})")
    for name, part in parts:
        print(f"    {name:<10} {part.title}  ({part.datatype})")
    return 0
