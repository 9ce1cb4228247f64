"""Simulators as the processes that they are, and 837P files to give them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def wait_for(what, seconds=30.0):
    """Look until there is something to see; fail with the question when there is not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds} seconds")


def isa(control, test="T", sender="ALDERST01", receiver="CLEARWAY01", ack="1"):
    return (
        f"ISA*00*          *00*          *ZZ*{sender:<15}*ZZ*{receiver:<15}"
        f"*260302*0815*^*00501*{control:09d}*{ack}*{test}*:~"
    )


def claim_837(
    number, *, pcn, member="CM12345678", payer="90001", lines=(("99213", "25", "135"), ("83036", "QW", "40"))
):
    total = sum(float(line[2]) for line in lines)
    segments = [
        f"HL*{number}*1*22*0",
        "SBR*P*18*GRP100******CI",
        f"NM1*IL*1*SAMPLESON*ADA*B***MI*{member}",
        "N3*42 ELM AVE",
        "N4*SPRINGFIELD*IL*62702",
        "DMG*D8*19800214*F",
        f"NM1*PR*2*SOME PAYER*****PI*{payer}",
        f"CLM*{pcn}*{total:g}***11:B:1*Y*A*Y*Y",
        "HI*ABK:E119*ABF:I10",
        "NM1*82*1*OKAFOR*MARIN****XX*1999000114",
        "PRV*PE*PXC*207Q00000X",
    ]
    for index, (code, modifier, charge) in enumerate(lines, start=1):
        procedure = f"HC:{code}:{modifier}" if modifier else f"HC:{code}"
        segments += [
            f"LX*{index}",
            f"SV1*{procedure}*{charge}*UN*1***1",
            "DTP*472*D8*20260302",
            f"REF*6R*{pcn}L{index:02d}",
        ]
    return segments


def file_837(control, claims, **envelope):
    """One interchange with one transaction; ``claims`` are keyword arguments of `claim_837`."""
    body = [
        "ST*837*0001*005010X222A1",
        f"BHT*0019*00*B{control}*20260302*0815*CH",
        "NM1*41*2*ALDER STREET FAMILY CLINIC*****46*ALDERST01",
        "PER*IC*EDI DESK*TE*2175550142",
        "NM1*40*2*CLEARWAY*****46*CLEARWAY01",
        "HL*1**20*1",
        "PRV*BI*PXC*207Q00000X",
        "NM1*85*2*ALDER STREET FAMILY CLINIC*****XX*1999000015",
        "N3*214 ALDER STREET",
        "N4*SPRINGFIELD*IL*627014410",
        "REF*EI*371990001",
    ]
    for number, claim in enumerate(claims, start=2):
        body += claim_837(number, **claim)
    body.append(f"SE*{len(body) + 1}*0001")
    receiver = envelope.get("receiver", "CLEARWAY01")
    group = f"GS*HC*ALDERST01*{receiver}*20260302*0815*{control}*X*005010X222A1"
    return isa(control, **envelope) + "~".join([group, *body, f"GE*1*{control}", f"IEA*1*{control:09d}"]) + "~"


class Running:
    """One simulator process with its files."""

    def __init__(self, module, config, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "seed": 3,
            "ready": str(folder / "ready.json"),
            "books": str(folder / "books.jsonl"),
            "summary": str(folder / "summary.json"),
        } | config
        (folder / "config.json").write_text(json.dumps(config))
        self.log = (folder / "log").open("wb")
        command = [sys.executable, "-m", f"hub.simulators.{module}", str(folder / "config.json")]
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)
        self.ready = wait_for(self._ready)

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())
        path = self.folder / "ready.json"
        return json.loads(path.read_text()) if path.exists() else None

    def entries(self, kind=None):
        path = self.folder / "books.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [entry for entry in found if kind in (None, entry["kind"])]

    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=20)
        self.log.close()
        return code


@pytest.fixture
def start(tmp_path):
    """Start simulators by module name; they are stopped, and must have stopped cleanly, after the test."""
    running = []

    def start_one(module, **config):
        simulator = Running(module, config, tmp_path / f"{module}{len(running)}")
        running.append(simulator)
        return simulator

    yield start_one
    codes = [simulator.stop() for simulator in running]
    assert codes == [0] * len(codes), "".join((each.folder / "log").read_text() for each in running)
    logs = "".join((each.folder / "log").read_text() for each in running)
    assert "Traceback" not in logs, logs


@pytest.fixture
def clock():
    """A business clock whose days last half a second, from a Monday morning."""
    return {"business_epoch": "2026-03-02T06:00:00-06:00", "real_epoch": time.time(), "day_seconds": 0.5}


def write_key(path) -> Path:
    """Write a new private key and, beside it, its public half."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture
def hub_key(tmp_path) -> Path:
    """The hub's private key file; its public half lies beside it."""
    return write_key(tmp_path / "hub_key")


@pytest.fixture
def tools():
    """The helpers of this module, for the tests beside it."""
    return sys.modules[__name__]
