"""What the documentation of rules promises is what rules can do."""

from __future__ import annotations

from pathlib import Path

from hub.billing.rules.fields import FIELDS
from hub.billing.rules.model import VERBS, When

PAGE = (Path(__file__).parents[2] / "docs" / "payer-rules.md").read_text(encoding="utf-8")


def test_every_field_condition_and_verb_is_documented() -> None:
    assert all(f"| `{field.name}` | `{field.place}` |" in PAGE for field in FIELDS.values())
    assert all(f"`{name}`" in PAGE for name in When.model_fields)
    assert all(f"| `{verb}` |" in PAGE for verb in VERBS)
