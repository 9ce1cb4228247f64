from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

from hub.core.errors import HubError
from hub.site import explanations
from hub.site.explanations import EXPLANATIONS

PACKAGE = Path(explanations.__file__).parents[1]


def codes() -> dict[str, list[str]]:
    """Every code that a class of the hub declares, with those classes."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "hub."):
        if not module.name.startswith(("hub.simulators", "hub.store.migrations")):
            importlib.import_module(module.name)
    found: dict[str, list[str]] = {}
    open_classes = [HubError]
    while open_classes:
        kind = open_classes.pop()
        open_classes += kind.__subclasses__()
        if "code" in vars(kind) and kind.__module__.startswith("hub."):
            found.setdefault(kind.code, []).append(f"{kind.__module__}.{kind.__name__}")
    return found


def test_every_code_of_the_hub_can_be_explained() -> None:
    assert {code: kinds for code, kinds in codes().items() if code not in EXPLANATIONS} == {}


def test_every_code_that_the_source_mentions_can_be_explained() -> None:
    named = {
        code for path in PACKAGE.rglob("*.py") for code in re.findall(r'"(H\d{3})"', path.read_text(encoding="utf-8"))
    }
    assert named <= set(EXPLANATIONS)


def test_an_explanation_is_a_sentence_and_a_fix() -> None:
    for explanation in EXPLANATIONS.values():
        assert explanation.what.endswith(".")
        assert explanation.fix.endswith((".", "?"))
