"""OpenAPI 3.1 written from the endpoints' own annotations, so that it cannot disagree."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from server.kit import body as bodies
from server.kit.api import Endpoint, NotThere
from server.kit.errors import DomainError, Refused, Unauthenticated, Unavailable
from server.kit.problem import CONTENT_TYPE, InvalidFields, Problem, status_of

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
CONVENTIONS: Final = """\
Bodies are JSON in UTF-8, plain or with exactly one content encoding, `gzip` or `zstd`. Unknown \
members and doubled ones are refused. Whole numbers are written without a fraction: `1`, not \
`1.0`. Texts hold no control, private-use or direction-changing characters and come back in \
normal form C. Times are RFC 3339 with an offset, between 2000 and 2099, and come back in UTC. \
What an operation answers people's locations for stands in its `x-purpose`. \
Errors are problem+json (RFC 9457): `code` names the rule, `fields` the places that do not fit."""
_REF: Final = "#/components/schemas/{model}"


def document(
    endpoints: Sequence[Endpoint], *, title: str, version: str, security: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the OpenAPI document of the endpoints."""
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("problem", "serialization", TypeAdapter(Problem))
    ]
    for one in endpoints:
        for role, mode, adapter in (
            ("body", "validation", one.body),
            ("query", "validation", one.query),
            ("answer", "serialization", one.answer),
        ):
            if adapter is not None:
                adapters.append((f"{one.name}.{role}", mode, adapter))  # type: ignore[arg-type]  # mode is one of two literals
        for name, adapter in one.parameters.items():
            adapters.append((f"{one.name}.path.{name}", "validation", adapter))
    found, shared = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    schemas = {name: schema for (name, _), schema in found.items()}
    definitions = dict(shared.get("$defs", {}))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        operation = _operation(one, schemas, definitions)
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {"title": title, "version": version, "description": CONVENTIONS},
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": dict(security)},
    }


def _operation(
    one: Endpoint, schemas: Mapping[str, Any], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    text = inspect.cleandoc(one.handler.__doc__ or "")
    summary, _, rest = text.partition("\n")
    operation: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": summary.rstrip("."),
        "description": f"{rest.strip()}\n\nWho may call: {one.access.words()}.".strip(),
        "security": one.access.security(),
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": schemas[f"{one.name}.path.{name}"],
            }
            for name in one.parameters
        ]
        + _query_parameters(schemas.get(f"{one.name}.query"), definitions),
        "responses": {str(one.status.value): _success(one, schemas), **_problems(one)},
    }
    if one.purposes:
        operation["x-purpose"] = [purpose.value for purpose in one.purposes]
    if one.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": schemas[f"{one.name}.body"]},
                **{media.content_type: {"schema": dict(media.schema)} for media in one.takes},
            },
        }
    return operation


def _query_parameters(
    schema: Mapping[str, Any] | None, definitions: Mapping[str, Any]
) -> list[dict[str, Any]]:
    if schema is None:
        return []
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _present(part)}
        for name, part in schema["properties"].items()
    ]


def _present(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that is there: absence is its null, no text says it."""
    kept = {name: part for name, part in schema.items() if (name, part) != ("default", None)}
    kinds = [kind for kind in kept.pop("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0], **kept}
    return {**kept, "anyOf": kinds} if kinds else kept


def _success(one: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    content = {media.content_type: {"schema": dict(media.schema)} for media in one.media}
    if one.answer is not None and one.status is not HTTPStatus.NO_CONTENT:
        content["application/json"] = {"schema": schemas[f"{one.name}.answer"]}
    described: dict[str, Any] = {"description": one.status.phrase}
    if content:
        described["content"] = content
    return described


def _problems(one: Endpoint) -> dict[str, Any]:
    by_status: dict[HTTPStatus, set[str]] = {}
    for rule in _rules(one):
        by_status.setdefault(status_of(rule), set()).add(rule.slug)
    return {
        str(status.value): {
            "description": f"{status.phrase}: {', '.join(sorted(slugs))}",
            "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
        }
        for status, slugs in sorted(by_status.items())
    }


class _AnyUnauthenticated(Unauthenticated):
    slug = "not-authenticated"
    title = "Not authenticated"


class _AnyRefused(Refused):
    slug = "not-permitted"
    title = "Not permitted"


class _AnyUnavailable(Unavailable):
    slug = "unavailable"
    title = "Not available just now"


def _rules(one: Endpoint) -> Iterable[type[DomainError]]:
    yield from one.raises
    yield _AnyUnavailable
    if one.access.security():
        yield _AnyUnauthenticated
        yield _AnyRefused
    if one.parameters:
        yield NotThere
    if one.query is not None:
        yield InvalidFields
    if one.takes_body:
        yield from (
            bodies.BodyTooLarge,
            bodies.BodyTooSlow,
            bodies.BodyBroken,
            bodies.ContentTypeUnsupported,
            bodies.EncodingUnsupported,
            bodies.EncodingBroken,
            bodies.JsonMalformed,
            bodies.JsonKeyTwice,
            InvalidFields,
        )
