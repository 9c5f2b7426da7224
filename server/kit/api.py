"""Endpoints: typed handlers on aiohttp, validated by pydantic, described as OpenAPI 3.1.

A handler is a coroutine ``(request, *, path parameters, body, query)``. Its annotations are
the contract: path parameters by name, ``body`` and ``query`` as :class:`~server.kit.wire.Wire`
models, and what it returns. ``openapi.py`` reads the same annotations.
"""

import asyncio
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from server.kit.body import BODY_BYTES_MAX, JsonMalformed, read_json, refuse_doubled_keys
from server.kit.errors import DomainError, NotFound
from server.kit.problem import FieldFault, InvalidFields, faults_of, path_of
from server.kit.web import PURPOSES

LONG_BYTES: Final = 64 * 1024
"""A body that is longer is parsed in a thread: other requests must not wait for it."""
_PATH_NAME: Final = re.compile(r"{(\w+)}")


class Access(Protocol):
    """Who may call an endpoint. The kit does not know roles: the application decides."""

    def security(self) -> list[dict[str, list[str]]]:
        """Return the OpenAPI security requirements; empty for everybody."""
        ...

    def words(self) -> str:
        """Return who may call, for people."""
        ...


class NotThere(NotFound):
    slug = "not-found"
    title = "Not found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What an endpoint answers with, or takes, when it is not JSON of the type that is named."""

    content_type: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method on one path: the handler, who may call it, what it can answer."""

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    access: Access
    status: HTTPStatus
    raises: tuple[type[DomainError], ...]
    media: tuple[Media, ...]
    takes: tuple[Media, ...]
    """What a body may also be, beside JSON; the handler reads it."""
    body_bytes_max: int
    tag: str
    parameters: Mapping[str, TypeAdapter[Any]]
    query: TypeAdapter[Any] | None
    lists: frozenset[str]
    """The parameters of the query that may be given several times."""
    body: TypeAdapter[Any] | None
    answer: TypeAdapter[Any] | None
    raw_body: bool
    purposes: tuple[StrEnum, ...]
    """What it answers people's locations for; empty: it answers none."""

    @property
    def name(self) -> str:
        return typing.cast("str", getattr(self.handler, "__name__", "endpoint"))

    @property
    def takes_body(self) -> bool:
        return self.body is not None


def endpoint(  # noqa: PLR0913 - each is one line of the endpoint's contract
    method: str,
    path: str,
    *,
    access: Access,
    status: HTTPStatus = HTTPStatus.OK,
    raises: Sequence[type[DomainError]] = (),
    media: Sequence[Media] = (),
    takes: Sequence[Media] = (),
    body_bytes_max: int = BODY_BYTES_MAX,
    raw_body: type[BaseModel] | Any = None,
    answer: type[BaseModel] | Any = None,
    purposes: Sequence[StrEnum] = (),
) -> Callable[[Callable[..., Awaitable[Any]]], Endpoint]:
    """Make an :class:`Endpoint` of a handler.

    ``raw_body`` names the schema of a body that the handler reads by itself (the hot path),
    ``answer`` of one that it writes by itself (it also sets a cookie). ``purposes`` is what it may
    answer people's locations for: without one, nothing lets it.
    """

    def declare(handler: Callable[..., Awaitable[Any]]) -> Endpoint:
        hints = typing.get_type_hints(handler, include_extras=True)
        names = set(_PATH_NAME.findall(path))
        unknown = set(inspect.signature(handler).parameters) - names - {"request", "body", "query"}
        if unknown:
            raise TypeError(f"{handler!r}: neither path, body nor query: {sorted(unknown)}")
        returned = hints.get("return", type(None))
        answers = isinstance(returned, type) and issubclass(returned, web.StreamResponse | None)
        shown = answer if answers else returned
        body = raw_body if raw_body is not None else hints.get("body")
        query = TypeAdapter(hints["query"]) if "query" in hints else None
        return Endpoint(
            method=method,
            path=path,
            handler=handler,
            access=access,
            status=HTTPStatus.NO_CONTENT if returned is type(None) else status,
            raises=tuple(raises),
            media=tuple(media),
            takes=tuple(takes),
            body_bytes_max=body_bytes_max,
            tag=handler.__module__.split(".")[1],
            parameters={name: TypeAdapter(hints[name]) for name in sorted(names)},
            query=query,
            lists=frozenset() if query is None else _lists(query),
            body=None if body is None else TypeAdapter(body),
            answer=None if shown is None else TypeAdapter(shown),
            raw_body=raw_body is not None,
            purposes=tuple(purposes),
        )

    return declare


# The access is whatever vocabulary the application declares its endpoints with.
Authorize = Callable[[web.Request, Any], Awaitable[None]]


def install(app: web.Application, endpoints: Sequence[Endpoint], *, authorize: Authorize) -> None:
    """Add the endpoints to the router. ``authorize`` runs before anything is read."""
    for one in endpoints:
        app.router.add_route(one.method, one.path, _handler(one, authorize), name=one.name)


def _handler(
    one: Endpoint, authorize: Authorize
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[PURPOSES] = one.purposes
        await authorize(request, one.access)
        arguments = _path_arguments(one, request)
        if one.query is not None:
            arguments["query"] = _query(one.query, one.lists, request)
        if one.body is not None and not one.raw_body:
            body = await read_json(request, bytes_max=one.body_bytes_max)
            if len(body) > LONG_BYTES:
                arguments["body"] = await asyncio.to_thread(_parsed, one.body, body)
            else:
                arguments["body"] = _parsed(one.body, body)
        returned = await one.handler(request, **arguments)
        if isinstance(returned, web.StreamResponse):
            return returned
        headers = {"Cache-Control": "no-store"}
        if one.answer is None or returned is None:
            return web.Response(status=one.status, headers=headers)
        return web.Response(
            status=one.status,
            body=one.answer.dump_json(returned),
            content_type="application/json",
            headers=headers,
        )

    return handle


def _parsed(adapter: TypeAdapter[Any], body: bytes) -> Any:
    refuse_doubled_keys(body)
    return validated(adapter, body)


def validated(adapter: TypeAdapter[Any], body: bytes) -> Any:
    """Return ``body`` as the adapter's type.

    Raises
    ------
    JsonMalformed
    InvalidFields
        Naming each place that does not fit, without the value that stood there.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        faults = faults_of(error)
    if faults[0].code == "json_invalid":
        place = "It is not JSON that can be read."
        raise JsonMalformed(place)
    raise InvalidFields(faults)


def _path_arguments(one: Endpoint, request: web.Request) -> dict[str, Any]:
    try:
        return {
            name: adapter.validate_strings(request.match_info[name])
            for name, adapter in one.parameters.items()
        }
    except ValidationError:
        raise NotThere from None


def _lists(query: TypeAdapter[Any]) -> frozenset[str]:
    """Return by which names the parameters go that are lists."""
    parts = query.json_schema()["properties"]
    return frozenset(
        name
        for name, part in parts.items()
        if any(kind.get("type") == "array" for kind in (part, *part.get("anyOf", ())))
    )


def _query(adapter: TypeAdapter[Any], lists: frozenset[str], request: web.Request) -> Any:
    given = {name: request.query.getall(name) for name in request.query}
    twice = sorted(name for name, values in given.items() if len(values) > 1 and name not in lists)
    if twice:
        raise InvalidFields(
            FieldFault(path=path_of(name, query=True), code="given_twice", detail="Give it once")
            for name in twice
        )
    try:
        # No text is a list: those are joined here, and parted again by what `listed` annotates.
        return adapter.validate_strings({name: ",".join(values) for name, values in given.items()})
    except ValidationError as error:
        raise InvalidFields(faults_of(error, query=True)) from None


def json_bytes(value: object) -> bytes:
    return to_json(value)
