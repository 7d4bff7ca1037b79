"""The description of the API in OpenAPI 3.1, made from the endpoints and the types they take and answer with."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from safeweave import __version__
from safeweave.web.api.call import Endpoint
from safeweave.web.api.problem import FHIR, PROBLEM
from safeweave.words import say

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "instance"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "field": {"type": "string"}, "instance": {"type": "string"},
    },
}  # fmt: skip
_RESOURCE = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}}
_NO = {
    "400": "api.problem.400", "401": "api.problem.401", "403": "api.problem.403", "404": "api.problem.404",
    "409": "api.problem.409", "413": "api.problem.413", "422": "api.problem.422", "429": "api.problem.429",
    "503": "api.problem.503",
}  # fmt: skip


def description(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole description."""
    types = [each for endpoint in endpoints for each in (endpoint.answers, endpoint.takes) if each is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "safeweave", "version": __version__, "description": say("api.about", "en")},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM, "Resource": _RESOURCE},
            "securitySchemes": {
                "client": {
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": "/api/token", "scopes": {
                        "system/*.read": say("api.scopes.read", "en"), "system/*.write": say("api.scopes.write", "en"),
                    }}},
                },
                "pages": {"type": "apiKey", "in": "cookie", "name": "sw_session"},
            },
        },
    }  # fmt: skip


def _operation(endpoint: Endpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    kind = endpoint.kind
    resource = {"$ref": "#/components/schemas/Resource"}
    answers = resource if endpoint.answers is None else schema_of[repr(endpoint.answers)]
    problem = resource if endpoint.fhir else {"$ref": "#/components/schemas/Problem"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    parameters += [
        {"name": each.name, "in": "query", "required": each.required, "schema": dict(each.schema)}
        for each in endpoint.query
    ]
    if endpoint.writes:
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False,
             "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"}}
        )  # fmt: skip
    told: dict[str, Any] = {
        "summary": say(endpoint.summary, "en"),
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "parameters": parameters,
        "responses": {
            str(endpoint.status): {"description": say("api.answer", "en"), "content": {kind: {"schema": answers}}},
            **{
                status: {
                    "description": say(why, "en"),
                    "content": {FHIR if endpoint.fhir else PROBLEM: {"schema": problem}},
                }
                for status, why in _NO.items()
            },
        },
        "security": [] if endpoint.open else [{"client": []}, {"pages": []}],
    }
    if endpoint.takes is not None or (endpoint.fhir and endpoint.method == "POST"):
        takes = resource if endpoint.takes is None else schema_of[repr(endpoint.takes)]
        media = "application/x-www-form-urlencoded" if endpoint.form else kind
        told["requestBody"] = {"required": True, "content": {media: {"schema": takes}}}
    return told
