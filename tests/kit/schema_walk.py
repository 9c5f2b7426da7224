"""Walks what callers may send and names every place that is not bounded."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TEXT_BOUNDS = ("maxLength", "format", "enum", "const", "pattern")
_METHODS = ("get", "put", "post", "patch", "delete")


def unbounded(document: Mapping[str, Any]) -> list[str]:
    """Return the places in parameters and request bodies where anything of any size fits.

    A number needs both bounds, a text a length or a form, a list a length; an object must
    refuse what it does not know.
    """
    return [
        f"{place}: {fault}"
        for place, schema in _inputs(document)
        for place, fault in _faults(schema, document, place, frozenset())
    ]


def _inputs(document: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            operation = methods.get(method, {})
            place = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", ()):
                yield f"{place} ?{parameter['name']}", parameter["schema"]
            body = operation.get("requestBody", {"content": {}})
            for kind, content in body["content"].items():
                yield f"{place} {kind}", content["schema"]


def _faults(
    schema: Schema, document: Mapping[str, Any], place: str, seen: frozenset[str]
) -> Iterator[tuple[str, str]]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name not in seen:
            inner = document["components"]["schemas"][name]
            yield from _faults(inner, document, place, seen | {name})
        return
    alternatives = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
    # {"required": [...]} only narrows what stands beside it.
    several = [part for part in alternatives if part.keys() != {"required"}]
    for part in several:
        yield from _faults(part, document, place, seen)
    if several or "enum" in schema or "const" in schema:
        return
    for fault in _own_faults(schema):
        yield place, fault
    for name, part in schema.get("properties", {}).items():
        yield from _faults(part, document, f"{place}/{name}", seen)
    inside = [schema.get("items"), *schema.get("prefixItems", ())]
    inside.append(schema.get("additionalProperties"))
    for part in inside:
        if isinstance(part, Mapping):
            yield from _faults(part, document, f"{place}/*", seen)


def _own_faults(schema: Schema) -> Iterator[str]:
    kinds = schema.get("type", "anything")
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        match kind:
            case "number" | "integer":
                if not schema.keys() & {"minimum", "exclusiveMinimum"}:
                    yield f"{kind} without a lower bound"
                if not schema.keys() & {"maximum", "exclusiveMaximum"}:
                    yield f"{kind} without an upper bound"
            case "string" if not schema.keys() & set(_TEXT_BOUNDS):
                yield "string without a length or a form"
            case "array" if "maxItems" not in schema:
                yield "list without a length"
            case "object":
                further = schema.get("additionalProperties", True)
                if further is True or (further and "maxProperties" not in schema):
                    yield "object that takes any member"
            case "anything":
                yield "anything at all"
            case _:
                pass
