"""``config/segments.toml``: the Z segments that a site's senders use, so that paths into them can be checked."""

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


def read_segments_file(folder: Path) -> tuple[dict[str, SiteSegment], list[Finding]]:
    """The declared segments of the site at *folder* by name, and what is wrong with them."""
    if not (folder / SEGMENTS).exists():
        return {}, []
    file = read_toml(folder, SEGMENTS)
    if isinstance(file, Finding):
        return {}, [file]
    whole, findings = check_model(SegmentsFile, file.data, file, ())
    if whole is None:
        return {}, findings
    for name, segment in whole.segments.items():
        if not (len(name) == 3 and name.startswith("Z") and name.isalnum() and name.isupper()):
            sentence = f'"{name}" is not the name of a site-defined segment.'
            findings.append(file.finding(("segments", name), "H202", sentence, "Z and two capitals or digits: ZCH."))
        for number in segment.fields:
            if not (number.isascii() and number.isdigit() and int(number)):
                sentence = f'"{number}" is not the number of a field.'
                key = ("segments", name, "fields", number)
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
