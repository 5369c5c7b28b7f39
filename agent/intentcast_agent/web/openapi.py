"""The API's own description, OpenAPI 3.1, made from the table of routes and the signatures of the verbs."""

import inspect
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import msgspec

from intentcast_agent.service import Service
from intentcast_agent.view import Json
from intentcast_agent.web.routes import ROUTES, SHOWN, Route, arguments

_REF: Final = "#/components/schemas/{name}"
_PROBLEM: Final = {
    "type": "object",
    "required": ["code", "message", "hint", "retryable"],
    "properties": {
        "code": {"type": "string", "description": "For programs; PROTOCOL §12 lists those of the protocol."},
        "message": {"type": "string", "description": "A sentence for people."},
        "hint": {"type": "string", "description": "What to do, or empty."},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
    },
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A fresh name for this act, 8 to 128 visible characters: a repeat within a day does nothing again.",
    "schema": {"type": "string", "minLength": 8, "maxLength": 128},
}
_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of what you have seen; if it was changed since, nothing is done (412).",
    "schema": {"type": "string"},
}


@cache
def document() -> Json:
    """Return the document."""
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.url, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "intentcast agent",
            "version": version("intentcast"),
            "description": "The verbs of one person's or vendor's own agent, on this machine alone.",
        },
        "security": [{"token": []}, {"page": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "From the file api.token."},
                "page": {"type": "apiKey", "in": "cookie", "name": "intentcast-PORT",
                         "description": "What a browser gets from `intentcast open`."},
            },
        },
    }  # fmt: skip


def _operation(route: Route) -> Json:
    words = inspect.cleandoc(getattr(Service, route.verb).__doc__).split("\n\n", 1)
    fields = msgspec.structs.fields(arguments(route))
    outside = [field for field in fields if field.name in route.in_path or not route.in_body]
    inside = [field for field in fields if field not in outside]
    found: Json = {
        "operationId": route.verb,
        "tags": [route.path.split("/")[1]],
        "summary": words[0],
        "parameters": [_parameter(field, field.name in route.in_path) for field in outside],
        "responses": {"200": _result(route), "default": _refusal()},
    }
    if len(words) > 1:
        found["description"] = words[1]
    if inside:
        schema = {
            "type": "object",
            "properties": {field.name: _schema(field) for field in inside},
            "required": [field.name for field in inside if field.required],
            "additionalProperties": False,
        }
        needed = bool(schema["required"])
        found["requestBody"] = {"required": needed, "content": {"application/json": {"schema": schema}}}
    found["parameters"] += [_KEY] if route.writes else []
    found["parameters"] += [_MATCH] if route.edits else []
    return found


def _parameter(field: Any, in_path: bool) -> Json:
    place = "path" if in_path else "query"
    return {"name": field.name, "in": place, "required": field.required, "schema": _schema(field)}


def _schema(field: Any) -> Json:
    schema: Json = msgspec.json.schema(field.type)
    return schema if field.required else schema | {"default": field.default}


def _result(route: Route) -> Json:
    if route.streams:
        words = "Events: `update` with the whole view whenever it changed, then `end`, or `error` with a Problem."
        return {"description": words, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    found: Json = {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}}
    if route.verb in SHOWN:
        found["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "For If-Match, when it is edited."}}
    return found


def _refusal() -> Json:
    schema = {"$ref": _REF.format(name="Problem")}
    return {"description": "Refused, or failed.", "content": {"application/json": {"schema": schema}}}
