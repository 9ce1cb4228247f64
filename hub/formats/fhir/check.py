"""What the models of ``fhir.resources`` say of a resource. For workers: the models take half a second to load.

There are no R4 models; those of R4B read the billing resources of R4 (measured in the project's notes on
libraries).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from hub.formats.fhir.text import Resource, write


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a model does not accept. *where* is the element's path; the value itself is never repeated."""

    where: str
    what: str


def validate(resource: Resource) -> tuple[Finding, ...]:
    """What is wrong with *resource*; empty when the model of its type reads it. Inbound, findings are warnings."""
    from pydantic import ValidationError

    kind = str(resource.get("resourceType", ""))
    try:
        module: Any = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
        model = getattr(module, kind)
    except (ImportError, AttributeError):
        return (Finding("resourceType", "There is no resource type of this name."),)
    try:
        model.model_validate_json(write(resource))
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return tuple(
            Finding(".".join([kind, *(str(part) for part in item["loc"])]), f"Not accepted: {item['type']}.")
            for item in found
        )
    return ()
