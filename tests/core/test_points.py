"""Named points cost nothing where nobody listens, and each of them is in the code once."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hub.core import points
from tests.chaos.watch import Watch

HUB = Path(points.__file__).parents[1]


def test_every_point_stands_once_in_the_code() -> None:
    found: Counter[str] = Counter()
    for module in HUB.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reached":
                (name,) = node.args
                assert isinstance(name, ast.Constant)
                found[name.value] += 1
    assert found == Counter(dict.fromkeys(points.POINTS, 1))


def test_without_a_listener_a_point_does_nothing() -> None:
    assert points.reached is points._nothing


def test_a_process_stands_still_at_its_point_until_it_is_answered(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "points")
    stood: list[int] = []
    done = watch.at("message.committed", stood.append, nth=2)
    script = "from hub.core.points import reached\nfor _ in range(3): reached('message.committed')"
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "HUB_POINTS": str(watch.path)}, cwd=HUB.parent
    )
    assert process.wait(60) == 0
    assert done.wait(60)
    assert stood == [process.pid]
    assert watch.seen["message.committed"] == 3
    watch.close()
