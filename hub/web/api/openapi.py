"""The OpenAPI 3.1 document of the API, made of the table of operations and the types of their handlers."""

from __future__ import annotations

import re
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from hub.web.api.models import Refusal
from hub.web.api.table import BASE, OPERATIONS, Operation

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
        "paths": paths | {f"{BASE}/events": {"get": _EVENTS}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Made under You."}},
        },
    }


_EVENTS = {
    "operationId": "events",
    "summary": "The status page's figures whenever they change, as server-sent events: an object of name and text.",
    "x-permission": "status.view",
    "responses": {"200": {"description": "The stream.", "content": {"text/event-stream": {}}}},
}


def _operation(operation: Operation, answer: dict[str, Any]) -> dict[str, Any]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    query = operation.query.model_json_schema(ref_template=_REF)
    asked = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in query.get("properties", {}).items()
    ]
    reason = [
        {"name": "X-Reason", "in": "header", "required": True, "schema": {"type": "string", "minLength": 10}}
    ] * operation.needs_reason
    content = {"application/octet-stream": {}} if operation.gives_bytes else {"application/json": {"schema": answer}}
    made: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "x-permission": operation.permission,
        "parameters": [*named, *asked, *reason],
        "responses": {
            "200": {"description": operation.summary, "content": content},
            **{
                code: {
                    "description": text,
                    "content": {"application/json": {"schema": {"$ref": _REF.format(model="Refusal")}}},
                }
                for code, text in _REFUSED.items()
            },
        },
    }
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


def _named(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """An answer that is one object goes by its name; a list stays where it is."""
    if schema.get("type") == "object" and "title" in schema:
        schemas[schema["title"]] = schema
        return {"$ref": _REF.format(model=schema["title"])}
    return schema
