"""The load: ADT and DFT messages of 2 KB about many invented patients, made once and stamped when sent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

SIZE = 2048
PATIENTS = 4000
_MARK = b"\x00ID\x00"

_FAMILIES = ("BRACKEN", "SEDGE", "TANSY", "YARROW", "SORREL", "TEASEL", "CAMPION", "BURDOCK")
_GIVEN = ("WREN", "LINNET", "MARTIN", "ROBIN", "SWIFT", "AVOCET", "PLOVER")
_HEAD = (
    "MSH|^~\\&|BENCH_EHR|NORTH|HUB|ALDER|20260302081500-0600||{kind}|{mark}|T|2.5.1|||||||UNICODE UTF-8",
    "EVN|{event}|20260302081500-0600|||REG^DESK^ONE",
    (
        "PID|1||{mrn}^^^ALDER^MR~9{mrn}^^^NORTH^PI||{family}^{given}^M||19{year}0{month}14|F||2106-3"
        "|{number} SAMPLE LANE^^EXAMPLEVILLE^IL^6260{digit}^USA^H||(217)555-01{pair}^PRN^PH|||M||A{mrn}^^^ALDER^AN"
    ),
    (
        "PV1|1|O|FM^EXAM{digit}^1^ALDER||||1234567893^HERON^GREY^^^^MD^^NPI^^^^NPI|||FAM||||1|||||V{mrn}^^^ALDER^VN"
        "|||||||||||||||||||||||||20260302"
    ),
)
_TAIL = {
    "ADT^A04^ADT_A01": (
        "NK1|1|{family}^PARENT|PAR|{number} SAMPLE LANE^^EXAMPLEVILLE^IL^6260{digit}|(217)555-01{pair}",
        "GT1|1||{family}^{given}||{number} SAMPLE LANE^^EXAMPLEVILLE^IL^6260{digit}|(217)555-01{pair}||||P|SEL",
        (
            "IN1|1|PPO|90001|CEDAR SAMPLE HEALTH|PO BOX 1^^EXAMPLEVILLE^IL^62601|||GRP{pair}|||||||PPO|{family}^{given}"
            "|SEL|19{year}0{month}14||||1||||||||||||||M{mrn}"
        ),
    ),
    "DFT^P03^DFT_P03": (
        "FT1|1|T{mrn}1||20260302|20260302|CG|X0001^VISIT^L|||1|125.00||||||FM|||R05.9^^I10|1234567893|||X0001^^L",
        "FT1|2|T{mrn}2||20260302|20260302|CG|X0002^TEST^L|||2|18.50||||||FM|||R05.9^^I10|1234567893|||X0002^^L",
        "DG1|1|I10|R05.9^^I10||20260302|F",
        (
            "IN1|1|PPO|90001|CEDAR SAMPLE HEALTH|PO BOX 1^^EXAMPLEVILLE^IL^62601|||GRP{pair}|||||||PPO|{family}^{given}"
            "|SEL|19{year}0{month}14||||1||||||||||||||M{mrn}"
        ),
    ),
}


def messages(run: str) -> Iterator[bytes]:
    """Endless messages, a registration and a charge in turn, patients in rotation; *run* begins every control id."""
    halves = [_message(number, kind) for number in range(PATIENTS) for kind in _TAIL]
    for serial in itertools.count():
        before, after = halves[serial % len(halves)]
        yield before + f"{run}{serial:09d}".encode() + after


def patient_of(serial: int) -> int:
    """The number of the patient whom the message *serial* of :func:`messages` is about."""
    return serial // len(_TAIL) % PATIENTS


def _message(number: int, kind: str) -> tuple[bytes, bytes]:
    """What stands before and after the control id, filled up with a note to the size of the load."""
    values = {
        "kind": kind,
        "mark": _MARK.decode(),
        "event": kind.split("^")[1],
        "mrn": f"{100_000 + number}",
        "number": number + 1,
        "family": _FAMILIES[number % len(_FAMILIES)],
        "given": _GIVEN[number % len(_GIVEN)],
        "year": 40 + number % 60,
        "month": 1 + number % 9,
        "digit": number % 10,
        "pair": f"{number % 100:02d}",
    }
    text = "".join(f"{segment.format(**values)}\r" for segment in (*_HEAD, *_TAIL[kind])).encode()
    note = b"NTE|1||"
    words = itertools.cycle(f"seen by desk {number % 7} at window {number % 13} with paper {number} ".encode())
    missing = SIZE - len(text) - len(note) - 12  # a control id has about twelve characters
    before, after = (text + note + bytes(itertools.islice(words, missing)).rstrip() + b"\r").split(_MARK)
    return before, after
