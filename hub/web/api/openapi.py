"""The OpenAPI 3.1 document of the API, made of the table of operations and the types of their handlers."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from hub.web.api.models import Id, Refusal, StatusQuery
from hub.web.api.table import BASE, OPERATIONS, Operation
from hub.web.words import QUEUES

_REF = "#/components/schemas/{model}"
_REFUSED = {
    "400": "What was sent is not as described.",
    "401": "No token, or one that is unknown, over or withdrawn.",
    "403": "The token or its owner may not do this.",
    "404": "There is no such thing, or it is outside what the account is for.",
    "409": "Not done: somebody changed it since, or it cannot be done as it stands.",
    "413": "Too much was sent.",
    "429": "Too many requests; Retry-After says when to go on.",
    "500": "Our mistake; the log says more.",
    "503": "The engine is not running; nothing was changed.",
}
_HEADERS = {
    "401": {"WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}}},
    "429": {"Retry-After": {"required": True, "description": "Seconds.", "schema": {"type": "integer"}}},
}
_PARTS = {
    "id": TypeAdapter(Id).json_schema(),
    "name": {"type": "string", "description": "A channel's name."},
    "queue": {"type": "string", "enum": [name.replace(" ", "-") for name in QUEUES]},
}
"""What the parts of an address may be."""


def document(version: str) -> dict[str, Any]:
    """The whole document; *version* is that of the program."""
    bodies = [operation.body for operation in OPERATIONS if operation.body is not None]
    _, inputs = models_json_schema([(body, "validation") for body in bodies], ref_template=_REF)
    schemas: dict[str, Any] = dict(inputs.get("$defs", {}))
    answers = {}
    for operation in OPERATIONS:
        if not operation.gives_bytes:
            schema = operation.answer.json_schema(mode="serialization", ref_template=_REF)
            schemas |= schema.pop("$defs", {})
            answers[operation] = _named(schema, schemas)
    refusal = TypeAdapter(Refusal).json_schema(mode="serialization", ref_template=_REF)
    schemas |= refusal.pop("$defs", {})
    schemas["Refusal"] = refusal
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        entry = _operation(operation, answers.get(operation, {}))
        paths.setdefault(BASE + operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "claimhub",
            "version": version,
            "description": "What the pages do, for programs. No answer names, reaches or identifies a person, except "
            "the raw content of a message, which asks for a reason and is audited.",
        },
        "security": [{"token": []}],
        "paths": paths | {f"{BASE}/events": {"get": _events()}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Made under You."}},
        },
    }


def _events() -> dict[str, Any]:
    return {
        "operationId": "events",
        "summary": "The status page's figures whenever they change, as server-sent events: an object of name and text.",
        "x-permission": "status.view",
        "parameters": _asked(StatusQuery),
        "responses": {"200": {"description": "The stream.", "content": {"text/event-stream": {}}}, **_refusals()},
    }


def _operation(operation: Operation, answer: dict[str, Any]) -> dict[str, Any]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": _PARTS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    reason = [
        {"name": "X-Reason", "in": "header", "required": True, "schema": {"type": "string", "minLength": 10}}
    ] * operation.needs_reason
    content = {"application/octet-stream": {}} if operation.gives_bytes else {"application/json": {"schema": answer}}
    made: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "x-permission": operation.permission,
        "parameters": [*named, *_asked(operation.query), *reason],
        "responses": {"200": {"description": operation.summary, "content": content}, **_refusals()},
    }
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


def _asked(query: type[BaseModel]) -> list[dict[str, Any]]:
    """What the address may hold, as parameters."""
    fields = query.model_json_schema(ref_template=_REF).get("properties", {})
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in fields.items()]


def _refusals() -> dict[str, Any]:
    """Every answer that is no success; all have one body."""
    content = {"application/json": {"schema": {"$ref": _REF.format(model="Refusal")}}}
    return {
        code: {"description": text, "content": content} | ({"headers": _HEADERS[code]} if code in _HEADERS else {})
        for code, text in _REFUSED.items()
    }


def _named(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """An answer that is one object goes by its name; a list stays where it is."""
    if schema.get("type") == "object" and "title" in schema:
        schemas[schema["title"]] = schema
        return {"$ref": _REF.format(model=schema["title"])}
    return schema
