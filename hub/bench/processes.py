"""What the system says of running processes: whom they started, their memory, the processor time that they took."""

from __future__ import annotations

import os
from pathlib import Path


def family(pid: int) -> list[int]:
    """*pid* and all processes that it, and they, have started."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def resident_bytes(pid: int) -> int:
    """The resident memory of the process *pid*. Raises `OSError` when it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_seconds(pid: int) -> float:
    """What all threads of the process *pid* have taken, the kernel's work for them included; `OSError` as above."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = after_name[11:13]  # proc(5): fields 14 and 15
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
