"""A worker process for test_workers: started by a pool, it serves what its tasks say."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, cast

from hub.core.errors import HubError
from hub.engine.contracts import Reply, TaskCall, WorkerSite
from hub.engine.worker_loop import serve


class LocalError(HubError):
    code = "H978"


def echo(call: TaskCall) -> Reply:
    print("PID|1||4711||QUIGLEY^NORA")  # noqa: T201  what a script prints must not be taken for a reply
    return Reply({**call.header, "pid": os.getpid(), "first": call.ids.next()}, call.parts)


def fail(call: TaskCall) -> Reply:
    raise LocalError("PID-3 is empty.", where="acme.py:7", expected="a number", found="", fix="Ask the EHR.")


def burst(call: TaskCall) -> Reply:
    raise ValueError("QUIGLEY^NORA")


def die(call: TaskCall) -> Reply:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def loop(call: TaskCall) -> Reply:
    while True:
        pass


def wait_for_file(call: TaskCall) -> Reply:
    while not os.path.exists(call.header["path"]):  # noqa: PTH110
        time.sleep(0.01)
    return Reply({"waited": True})


if __name__ == "__main__":
    if sys.argv[1:] == ["stillborn"]:
        sys.exit(7)
    tasks = {"echo": echo, "fail": fail, "burst": burst, "die": die, "loop": loop, "wait": wait_for_file}
    serve(tasks, cast("WorkerSite", cast("Any", None)))
