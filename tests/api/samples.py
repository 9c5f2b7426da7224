"""Requests that fit the document, made from the document itself: a new endpoint is in at once."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from server.app import api_document
from server.kit.api import Endpoint

DOCUMENT: Final = api_document()
UUID_OF_NOTHING: Final = "00000000-0000-7000-8000-00000000000f"
_BY_FORMAT: Final = {
    "uuid": UUID_OF_NOTHING,
    "date-time": "2026-11-22T12:00:00Z",
    "date": "2026-11-22",
}
_BY_NAME: Final = {"to": "2026-11-22T13:00:00Z"}  # after every other time
Place = tuple[str | int, ...]


def operation(one: Endpoint) -> Mapping[str, Any]:
    found: Mapping[str, Any] = DOCUMENT["paths"][one.path][one.method.lower()]
    return found


def bodies(one: Endpoint) -> list[dict[str, Any]]:
    """Return a body with every member, for each of the forms that the endpoint takes."""
    schema = _resolved(operation(one)["requestBody"]["content"]["application/json"]["schema"])
    whole = _value(schema)
    forms = [set(form["required"]) for form in schema.get("oneOf", ())]
    others = set().union(*forms)
    return [
        {name: deepcopy(part) for name, part in whole.items() if name not in others - form}
        for form in forms or [set()]
    ]


def query(one: Endpoint) -> dict[str, str]:
    """Return the parameters that have to be there."""
    return {
        part["name"]: str(_value(part["schema"], part["name"]))
        for part in operation(one)["parameters"]
        if part["in"] == "query" and part["required"]
    }


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def _value(schema: Mapping[str, Any], name: str = "") -> Any:
    schema = _resolved(schema)
    if name in _BY_NAME and schema.get("format") != "date":
        return _BY_NAME[name]
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("anyOf", "allOf"):
        if key in schema:
            return _value(schema[key][0], name)
    if "const" in schema:
        return schema["const"]
    return schema["enum"][0] if "enum" in schema else _BY_TYPE[schema["type"]](schema)


def _list(schema: Mapping[str, Any]) -> list[Any]:
    if "prefixItems" in schema:
        return [_value(part) for part in schema["prefixItems"]]
    return [_value(schema["items"]) for _ in range(max(schema.get("minItems", 1), 1))]


# So many characters of one class: hashes and numbers with a fixed length.
_OF_ONE_CLASS: Final = re.compile(r"\^\[(\w)[^\]]*\]\{(\d+)\}\$")


def _text(schema: Mapping[str, Any]) -> str:
    shortest = "x" * max(int(schema.get("minLength", 1)), 1)
    fixed = _OF_ONE_CLASS.fullmatch(schema.get("pattern", ""))
    if fixed is not None:
        return fixed[1] * int(fixed[2])
    return _BY_FORMAT.get(schema.get("format", ""), shortest)


_BY_TYPE: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "object": lambda schema: {key: _value(part, key) for key, part in schema["properties"].items()},
    "array": _list,
    "boolean": lambda _schema: True,
    "integer": lambda schema: max(schema["minimum"], 0),
    "number": lambda schema: max(float(schema["minimum"]), 0.0),
    "string": _text,
}


def places(value: Any, kinds: tuple[type, ...], at: Place = ()) -> Iterator[Place]:
    """Yield where values of these types stand; True and False are no numbers."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, kinds, (*at, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from places(part, kinds, (*at, number))
    elif isinstance(value, kinds) and not isinstance(value, bool):
        yield at


def put(body: Any, at: Place, value: Any) -> Any:
    """Return the body with something else at the place."""
    changed = deepcopy(body)
    inside = changed
    for step in at[:-1]:
        inside = inside[step]
    inside[at[-1]] = value
    return changed


def written(body: Any, at: Place, text: str) -> bytes:
    """Return the body as JSON, with this very text at the place."""
    return json.dumps(put(body, at, "\0here")).replace('"\\u0000here"', text).encode()


def pointer(at: Place) -> str:
    return "".join(f"/{step}" for step in at)
