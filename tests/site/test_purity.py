from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEGIN = f"""
from pathlib import Path
from hub.site.load import load_site, map_messages
from hub.site.purity import PurityError, lock_down
site = load_site(Path({str(ROOT)!r}))
task = map_messages(site)
lock_down(site.folder / "transforms")
"""


def run(code: str) -> str:
    """What a process says that was locked down before it ran *code*."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=120, cwd="/", check=False
    )
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/hostname')",
        "open('/tmp/x', 'w')",
        "Path('/proc/self/environ').read_bytes()",
        "(site.folder / 'config/hub.toml').read_text()",
        "(site.folder / 'transforms/alder/x.py').write_text('')",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.remove('/tmp/x')",
        "import os; os.fork()",
        "import sqlite3; sqlite3.connect(':memory:')",
    ],
)
def test_a_locked_worker_refuses_what_a_mapping_does_not_need(attempt: str) -> None:
    assert "PurityError: H430" in run(attempt)


def test_a_locked_worker_still_maps_and_imports() -> None:
    code = """
import wave, json
from types import SimpleNamespace
raw = b"MSH|^~\\\\&|E|C|||20261109||DFT^P03|1|T|2.5.1\\rPID|1||M1^^^C^MR|||||||||||||||A1\\rFT1|1|T1||20261109||PY\\r"
message = {"id": 1, "kind": "DFT^P03", "received_on": "2026-11-09", "control_id": "1", "source": ""}
reply = task(SimpleNamespace(header={"channel": "ehr_visits", "messages": [message]}, parts=(raw,)))
print(reply.header["results"][0]["lines"], reply.header["results"][0]["error"])
"""
    assert run(code).strip() == "{'lines': 1, 'mapped': 0, 'filtered': 1, 'held': 0} None"
