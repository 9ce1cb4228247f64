"""The EHR's own HL7 v2 writing, reading and MLLP framing: no more than it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

START, END = b"\x0b", b"\x1c\x0d"
Segment = tuple[str, dict[int, str]]


def frame(data: bytes) -> bytes:
    """Put a message into its MLLP block (HL7 v2 transport specification, release 1)."""
    return START + data + END


class Deframer:
    """Collects bytes and gives back whole messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; return the messages that are now complete."""
        self._buffer += data
        found = []
        while (end := self._buffer.find(END)) >= 0:
            block, self._buffer = self._buffer[:end], self._buffer[end + len(END) :]
            found.append(block[block.rfind(START) + 1 :])
        return found


def timestamp(when: datetime) -> str:
    """Write a time to the second with its zone."""
    return f"{when:%Y%m%d%H%M%S%z}"


def write(segments: list[Segment]) -> bytes:
    """Write a message from segments given as field numbers and values; MSH-2 and MSH-1 are filled in."""
    lines = []
    for name, fields in segments:
        # MSH-1 is the separator itself, so MSH's first field in the list is MSH-2.
        first = 2 if name == "MSH" else 1
        values = [fields.get(number, "") for number in range(first, max(fields) + 1)]
        lines.append("|".join([name, *values]))
    return ("\r".join(lines) + "\r").encode()


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was read: its segments as lists of fields, where index n is field n."""

    segments: list[list[str]]

    @classmethod
    def read(cls, data: bytes) -> Message:
        """Read a message. Raises ``ValueError`` when it does not begin with MSH."""
        text = data.decode("utf-8", errors="replace").replace("\r\n", "\r").replace("\n", "\r")
        if not text.startswith("MSH|"):
            raise ValueError("not an HL7 message")
        segments = [line.split("|") for line in text.split("\r") if line]
        segments[0].insert(1, "|")
        return cls(segments)

    def all(self, name: str) -> list[list[str]]:
        """Return every segment of a name."""
        return [segment for segment in self.segments if segment[0] == name]

    def field(self, name: str, number: int, component: int = 1) -> str:
        """Return one component of a field of the first segment of a name; empty when it is not there."""
        for segment in self.all(name):
            return part(segment, number, component)
        return ""

    @property
    def kind(self) -> str:
        """MSH-9 as ``DFT^P03``."""
        return f"{self.field('MSH', 9)}^{self.field('MSH', 9, 2)}"


def part(segment: list[str], number: int, component: int = 1) -> str:
    """Return one component of a field; empty when it is not there."""
    if number >= len(segment):
        return ""
    parts = segment[number].split("^")
    return parts[component - 1] if component <= len(parts) else ""


def acknowledge(message: Message, code: str, when: datetime, control: str = "") -> bytes:
    """Answer a message with MSA-1 ``code``; ``control`` replaces MSA-2 for a wrong answer."""
    header = {
        2: "^~\\&",
        3: "ALDER_EHR",
        4: "ALDER",
        5: message.field("MSH", 3),
        6: message.field("MSH", 4),
        7: timestamp(when),
        9: f"ACK^{message.field('MSH', 9, 2)}^ACK",
        10: f"ACK{message.field('MSH', 10)}",
        11: message.field("MSH", 11),
        12: "2.5.1",
    }
    return write([("MSH", header), ("MSA", {1: code, 2: control or message.field("MSH", 10)})])
