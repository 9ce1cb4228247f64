"""``config/segments.toml``: the Z segments that a site's senders use, so that paths into them can be checked.

Segments may also stand in ``config/segments/NAME.toml``, one file for each sender.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hub.formats.hl7v2.path import PathError, parse_path
from hub.site.files import read_toml
from hub.site.findings import Finding, did_you_mean
from hub.site.models import check_model

SEGMENTS = "config/segments.toml"


class SiteSegment(BaseModel):
    """``[segments.ZCH]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="What the segment holds.", examples=["Charge details of our EHR"])
    fields: dict[str, str] = Field(
        description="What its fields hold, by their number.", examples=[{"1": "charge number", "3": "modality"}]
    )


class SegmentsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal[1] = Field(alias="schema")
    segments: dict[str, SiteSegment] = Field(description="By name; each begins with Z.")


def read_segments(folder: Path) -> tuple[dict[str, SiteSegment], list[Finding]]:
    """The declared segments of the site at *folder* by name, and what is wrong with them.

    Where two files declare one segment, a path into it may be of either.
    """
    declared: dict[str, SiteSegment] = {}
    findings: list[Finding] = []
    more = sorted((folder / "config" / "segments").glob("*.toml"))
    for path in (folder / SEGMENTS, *more):
        if path.exists():
            found, wrong = _read_file(folder, path.relative_to(folder).as_posix())
            for name, segment in found.items():
                fields = {**segment.fields, **(declared[name].fields if name in declared else {})}
                declared[name] = SiteSegment(title=segment.title, fields=fields)
            findings += wrong
    return declared, findings


def _read_file(folder: Path, name: str) -> tuple[dict[str, SiteSegment], list[Finding]]:
    file = read_toml(folder, name)
    if isinstance(file, Finding):
        return {}, [file]
    whole, findings = check_model(SegmentsFile, file.data, file, ())
    if whole is None:
        return {}, findings
    for called, segment in whole.segments.items():
        if not (len(called) == 3 and called.startswith("Z") and called.isalnum() and called.isupper()):
            sentence = f'"{called}" is not the name of a site-defined segment.'
            findings.append(file.finding(("segments", called), "H202", sentence, "Z and two capitals or digits: ZCH."))
        for number in segment.fields:
            if not (number.isascii() and number.isdigit() and int(number)):
                sentence = f'"{number}" is not the number of a field.'
                key = ("segments", called, "fields", number)
                findings.append(file.finding(key, "H202", sentence, "Fields are counted from 1."))
    return whole.segments, findings


def check_site_path(text: str, declared: dict[str, SiteSegment]) -> tuple[str, str, bool] | None:
    """What is wrong with *text*, a path into a Z segment: the sentence, the fix, and whether it is only a warning."""
    try:
        path = parse_path(text)
    except PathError as error:
        return error.what, error.fix, False
    segment = declared.get(path.segment)
    if segment is None:
        if declared:
            fix = did_you_mean(path.segment, declared) or f"Declare it in {SEGMENTS}."
            return f"{path.segment} is not among the site's own segments.", fix, False
        return f"{path.segment} is site-defined; the standard cannot check it.", f"Declare it in {SEGMENTS}.", True
    if str(path.field) not in segment.fields:
        known = ", ".join(f"{path.segment}-{number} {what}" for number, what in segment.fields.items())
        return f"{path.segment} has no field {path.field}.", f"It has {known}.", False
    return None
