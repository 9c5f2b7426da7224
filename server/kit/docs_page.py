"""The API for people to read: one page made from the OpenAPI document, without any script.

The known viewers set styles from scripts or fetch parts of themselves, which our content
security policy forbids; a page of headings, tables and links also works with a keyboard, a
screen reader and no network.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any, Final

from aiohttp import web

from server.kit.docs_style import STYLE

POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
# Unchanged until the next start: may be kept, but is asked for again.
_HEADERS: Final = {"Cache-Control": "no-cache"}
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("exclusiveMinimum", "more than {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("format", "{}"),
)
Schema = Mapping[str, Any]


def docs_routes(document: Callable[[], Mapping[str, Any]]) -> list[web.RouteDef]:
    """Return the endpoints that serve the document, to programs and to people.

    It is made when somebody asks for it first: that takes a third of a second and some megabytes,
    which most processes never need.
    """
    return [
        web.get(
            "/openapi.json",
            _fixed(lambda: json.dumps(document(), ensure_ascii=False), "application/json"),
            name="openapi",
        ),
        web.get("/docs", _fixed(lambda: page(document()), "text/html", policy=POLICY), name="docs"),
        web.get("/docs/style.css", _fixed(lambda: STYLE, "text/css"), name="docs_style"),
    ]


def _fixed(
    text: Callable[[], str], content_type: str, *, policy: str | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    headers = _HEADERS if policy is None else {**_HEADERS, "Content-Security-Policy": policy}

    @cache
    def body() -> bytes:
        return text().encode()

    async def answer(_request: web.Request) -> web.StreamResponse:
        made = await asyncio.to_thread(body)  # others are answered meanwhile
        return web.Response(body=made, content_type=content_type, charset="utf-8", headers=headers)

    return answer


def page(document: Mapping[str, Any]) -> str:
    """Return the whole page."""
    title = escape(document["info"]["title"])
    operations = _by_tag(document["paths"])
    schemas = document["components"]["schemas"]
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{title}: API</title><link rel="stylesheet" href="/docs/style.css"></head>',
            '<body><a class="skip" href="#main">Skip to the endpoints</a>',
            f"<header><h1>{title}</h1><p>Version {escape(document['info']['version'])}. ",
            'For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
            f"<p>{_prose(document['info'].get('description', ''))}</p></header>",
            _contents(operations),
            '<main id="main">',
            *(_tag(tag, found) for tag, found in operations.items()),
            '<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>',
            *(_named_schema(name, schemas[name]) for name in sorted(schemas)),
            "</section></main></body></html>",
        )
    )


Operation = tuple[str, str, Mapping[str, Any]]


def _by_tag(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = {}
    for path, methods in paths.items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                tag = operation.get("tags", ["other"])[0]
                found.setdefault(tag, []).append((method.upper(), path, operation))
    return dict(sorted(found.items()))


def _contents(operations: Mapping[str, Sequence[Operation]]) -> str:
    parts = ['<nav aria-label="Endpoints"><ul>']
    for tag, found in operations.items():
        parts.append(f'<li><a href="#tag-{_id(tag)}">{escape(tag)}</a><ul>')
        parts.extend(
            f'<li><a href="#{_id(operation["operationId"])}">{method} {_path(path)}</a></li>'
            for method, path, operation in found
        )
        parts.append("</ul></li>")
    parts.append('<li><a href="#schemas">schemas</a></li></ul></nav>')
    return "".join(parts)


def _tag(tag: str, found: Sequence[Operation]) -> str:
    return "".join(
        (
            f'<section aria-labelledby="tag-{_id(tag)}">',
            f'<h2 id="tag-{_id(tag)}">{escape(tag)}</h2>',
            *(_operation(*one) for one in found),
            "</section>",
        )
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    name = _id(operation["operationId"])
    parts = [
        f'<article aria-labelledby="{name}"><h3 id="{name}">',
        f"<code><strong>{method}</strong> {_path(path)}</code></h3>",
        f"<p>{_prose(operation.get('summary', ''))}</p>",
        *(f"<p>{_prose(one)}</p>" for one in operation.get("description", "").split("\n\n") if one),
    ]
    if operation.get("parameters"):
        rows = [
            (
                f"<code>{escape(one['name'])}</code>",
                escape(one["in"]),
                "yes" if one.get("required") else "no",
                _type(one["schema"]),
            )
            for one in operation["parameters"]
        ]
        parts.append(_table("Parameters", ("Name", "In", "Required", "Type"), rows))
    body = operation.get("requestBody")
    if body is not None:
        contents = [
            (f"<code>{escape(kind)}</code>", _type(one["schema"]))
            for kind, one in body["content"].items()
        ]
        parts.append(_table("Request body", ("Content type", "Schema"), contents))
    answers = [
        (f"<code>{escape(status)}</code>", _prose(one["description"]), _content(one))
        for status, one in operation["responses"].items()
    ]
    parts.append(_table("Answers", ("Status", "Meaning", "Body"), answers))
    parts.append("</article>")
    return "".join(parts)


def _content(response: Mapping[str, Any]) -> str:
    return ", ".join(
        f"<code>{escape(kind)}</code>: {_type(one['schema'])}"
        for kind, one in response.get("content", {}).items()
    )


def _named_schema(name: str, schema: Schema) -> str:
    parts = [
        f'<article aria-labelledby="schema-{_id(name)}">',
        f'<h3 id="schema-{_id(name)}"><code>{escape(name)}</code></h3>',
    ]
    if schema.get("description"):
        parts.append(f"<p>{_prose(schema['description'])}</p>")
    if "properties" in schema:
        required = schema.get("required", [])
        rows = [
            (
                f"<code>{escape(member)}</code>",
                "yes" if member in required else "no",
                _type(one),
                _prose(one.get("description", "")),
            )
            for member, one in schema["properties"].items()
        ]
        parts.append(_table("Members", ("Name", "Required", "Type", "Meaning"), rows))
    else:
        parts.append(f"<p>{_type(schema)}</p>")
    parts.append("</article>")
    return "".join(parts)


def _type(schema: Schema) -> str:
    """Return what a value may be, in words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f'<a href="#schema-{_id(name)}">{escape(name)}</a>'
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(_code(value) for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_type(one) for one in schema[several]) + _default(schema)
    if "prefixItems" in schema:
        inside = ", ".join(_type(one) for one in schema["prefixItems"])
        return f"[{inside}]" + _default(schema)
    kind = escape(str(schema.get("type", "anything")))
    if kind == "array":
        kind = f"list of {_type(schema.get('items', {}))}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        kind = f"object of {_type(schema['additionalProperties'])}"
    bounds = [words.format(escape(str(schema[key]))) for key, words in _BOUNDS if key in schema]
    if "pattern" in schema and "format" not in schema:
        bounds.append(f"like {_code(schema['pattern'])}")
    return (f"{kind} ({', '.join(bounds)})" if bounds else kind) + _default(schema)


def _default(schema: Schema) -> str:
    if schema.get("default") is None:
        return ""
    return f", default {_code(schema['default'])}"


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # Wide tables scroll by themselves: focusable, so that the keyboard can do it too.
    return "".join(
        (
            f'<div class="wide" role="group" tabindex="0" aria-label="{escape(caption)}"><table>',
            f"<caption>{escape(caption)}</caption><thead><tr>",
            *(f'<th scope="col">{escape(head)}</th>' for head in heads),
            "</tr></thead><tbody>",
            *("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows),
            "</tbody></table></div>",
        )
    )


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<code>{escape(text)}</code>"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _path(path: str) -> str:
    return escape(path).replace("/", "/<wbr>")  # long paths break between their parts


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)
