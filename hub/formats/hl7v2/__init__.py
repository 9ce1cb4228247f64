"""HL7 v2: a lazy view on the raw bytes, a builder, acknowledgements."""

from __future__ import annotations

from hub.formats.hl7v2.build import NULL, Builder
from hub.formats.hl7v2.convert import ConversionError, parse_datetime
from hub.formats.hl7v2.header import Header, HL7ParseError, content_without_timestamp, read_header
from hub.formats.hl7v2.message import FieldMissing, Message, Segment, Value
from hub.formats.hl7v2.path import Path, PathError

__all__ = [
    "NULL",
    "Builder",
    "ConversionError",
    "FieldMissing",
    "HL7ParseError",
    "Header",
    "Message",
    "Path",
    "PathError",
    "Segment",
    "Value",
    "content_without_timestamp",
    "parse_datetime",
    "read_header",
]
