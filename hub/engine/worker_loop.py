"""What a worker process does: read a task, run it, write its reply, until the engine is gone."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable, Mapping

from hub.core.errors import HubError
from hub.core.ids import IdBlock
from hub.core.points import reached
from hub.engine.contracts import Task, TaskCall, WorkerSite
from hub.engine.wire import pack, read_frame


def limit_memory(most_bytes: int) -> None:
    """Let this process have *most_bytes* of data; beyond that an allocation fails instead of starving the node."""
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))


def serve(tasks: Mapping[str, Task], site: WorkerSite, lock: Callable[[], None] | None = None) -> None:
    """Serve standard input until it ends. *lock* is run when nothing more needs to be opened.

    The way to the engine is moved off file descriptor 1, so that nothing a script prints can be taken for a reply. The
    first frame says that the worker is ready; one that dies before it is not blamed on a message.
    """
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - stays open for the life of the process
    if lock is not None:
        lock()
    replies.write(pack({"ready": True}))
    replies.flush()
    while (frame := read_frame(requests)) is not None:
        header, parts = frame
        reached("worker.began")
        reply = _run(tasks, site, header, parts)
        reached("worker.replied")
        replies.write(reply)
        replies.flush()


def _run(tasks: Mapping[str, Task], site: WorkerSite, header: dict[str, object], parts: tuple[bytes, ...]) -> bytes:
    name = str(header.pop("task"))
    first_id = header.pop("first_id")
    assert isinstance(first_id, int)
    try:
        reply = tasks[name](TaskCall(dict(header), parts, site, IdBlock(first_id)))
    except HubError as error:
        return pack(
            {
                "error": {
                    "code": error.code,
                    "what": error.what,
                    "where": error.where,
                    "expected": error.expected,
                    "found": error.found,
                    "fix": error.fix,
                }
            }
        )
    except Exception as error:
        return pack({"error": _unexpected(name, error)})
    return pack({"reply": reply.header}, reply.parts)


def _unexpected(task: str, error: Exception) -> dict[str, str]:
    """An error that is a defect of ours, by type and place alone: its text may quote what it choked on."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return {
        "code": "H150",
        "what": f"The task {task} failed with {type(error).__name__}.",
        "where": f"{frame.filename}:{frame.lineno}",
        "expected": "",
        "found": "",
        "fix": "This is a defect of the hub or of a script; the place above is where to look.",
    }
