"""The site that the benchmark runs: one listener, one mapping of twenty fields, one destination; encrypted, on disk."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

from hub.site.new import new_site

CHANNEL = "forward"
CONNECTIONS = 4

_CHANNEL = """\
schema = 1
name = "forward"
title = "Everything that comes in, mapped and sent on"
owner = "bench@clinic.example"

[source]
type = "mllp"
listen = "tcp:127.0.0.1:{port}"
accepts = ["ADT^A04", "DFT^P03"]
lane = "patient"

[[step]]
name = "forward"
on = ["ADT^A04", "DFT^P03"]
run = "bench.forward:forward"

[destination.receiver]
type = "mllp"
takes = ["ADT^A08"]
endpoint = {endpoint}
connections = {connections}
order = "patient"
ambiguous = "retry"
"""

_SCRIPT = '''\
"""Twenty fields of a message, in a message of our own."""

from hub.scripting import Builder, Message, Outgoing, mapping

FIELDS = {
    "sent": "MSH-7.1 | datetime",
    "mrn": "PID-3[MR].1",
    "authority": "PID-3[MR].4.1",
    "family": "PID-5.1",
    "given": "PID-5.2",
    "born": "PID-7.1 | date",
    "sex": "PID-8",
    "street": "PID-11.1.1",
    "city": "PID-11.3",
    "state": "PID-11.4",
    "postal_code": "PID-11.5",
    "phone": "PID-13.1",
    "account": "PID-18.1",
    "class": "PV1-2",
    "department": "PV1-3.1",
    "attending": "PV1-7.1",
    "attending_name": "PV1-7.2",
    "visit": "PV1-19.1",
    "payer": "IN1-3.1",
    "member": "IN1-36",
}


@mapping(accepts=["ADT^A04", "DFT^P03"], returns=Outgoing)
def forward(message: Message) -> Outgoing:
    """An update of the patient and the visit for the receiver."""
    found = message.fields(FIELDS)
    control_id = "F" + message.control_id
    out = Builder(
        type="ADT^A08^ADT_A01",
        control_id=control_id,
        sent=found["sent"],
        sending=("CLAIMHUB", "BENCH"),
        receiving=("RECEIVER", "BENCH"),
        processing_id="T",
    )
    out.add("EVN", {"1": "A08", "2": found["sent"]})
    out.add(
        "PID",
        {
            "3.1": found["mrn"],
            "3.4": found["authority"],
            "3.5": "MR",
            "5.1": found["family"],
            "5.2": found["given"],
            "7": found["born"],
            "8": found["sex"],
            "11.1": found["street"],
            "11.3": found["city"],
            "11.4": found["state"],
            "11.5": found["postal_code"],
            "13": found["phone"],
            "18": found["account"],
        },
    )
    out.add(
        "PV1",
        {
            "2": found["class"],
            "3": found["department"],
            "7.1": found["attending"],
            "7.2": found["attending_name"],
            "19": found["visit"],
        },
    )
    out.add("IN1", {"1": 1, "3": found["payer"], "36": found["member"]})
    return Outgoing(kind="ADT^A08", body=out, name=control_id)
'''


def make_site(folder: Path, receiver_port: int, *, listen_port: int = 0, web_port: int | None = None) -> None:
    """Write the site into *folder*, which must be absent or empty, with a key of its own.

    It listens at *listen_port*, 0 for one that the kernel chooses, and shows its pages, over plain HTTP, at *web_port*.
    """
    new_site(folder)
    for part in ("channels", "transforms", "tests"):
        shutil.rmtree(folder / part)
    (folder / "channels").mkdir()
    (folder / "transforms" / "bench").mkdir(parents=True)
    endpoint = json.dumps(f"tcp:127.0.0.1:{receiver_port}")
    channel = _CHANNEL.format(port=listen_port, endpoint=endpoint, connections=CONNECTIONS)
    (folder / "channels" / f"{CHANNEL}.toml").write_text(channel)
    (folder / "transforms" / "bench" / "forward.py").write_text(_SCRIPT)
    if web_port is not None:
        settings = folder / "config" / "hub.toml"
        listen = f'listen = "tcp:127.0.0.1:{web_port}"\ntls = false'
        settings.write_text(re.sub(r"^listen = .*$", listen, settings.read_text(), flags=re.MULTILINE))


def free_port() -> int:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
