from typing import Annotated, Any, Final, Literal
from uuid import UUID

import pytest
from aiohttp import web
from pydantic import Field, create_model

from server.kit.api import endpoint
from server.kit.openapi import document
from server.kit.wire import Instant, Latitude, Text, Wire
from tests.kit import toy
from tests.kit.schema_walk import unbounded


class Inner(Wire):
    seats: int


GOOD: Final[dict[str, Any]] = {
    "number": Latitude,
    "whole": Annotated[int, Field(ge=0, lt=5)],
    "text": Annotated[str, Text(5)],
    "time": Instant | None,
    "id": UUID,
    "word": Literal["a", "b"],
    "yes": bool,
    "list": Annotated[list[Latitude], Field(max_length=5)],
    "table": Annotated[dict[Literal["a"], Latitude], Field(max_length=3)],
}
BAD: Final[dict[str, Any]] = {
    "number without a lower bound": Annotated[float, Field(le=1)],
    "number without an upper bound": Annotated[float, Field(ge=1)],
    "integer without an upper bound": Annotated[int, Field(ge=1)] | None,
    "string without a length": str,
    "list without a length": list[Latitude],
    "object that takes any member": dict[str, Latitude],
    "/value: integer without a lower": Annotated[int, Field(le=1)],
    "/value/seats: integer": Inner,
    "/value/*/seats: integer": Annotated[list[Inner], Field(max_length=2)],
    "/value/*: number without": Annotated[list[float | None], Field(max_length=2)],
    "anything at all": Any,
}


def described(kind: Any, *, as_query: bool = False) -> dict[str, Any]:
    model = create_model("Sent", __base__=Wire, value=(kind, ...))

    async def handler(request: web.Request, **given: Any) -> None:
        """Take it."""

    async def takes_body(request: web.Request, *, body: Any) -> None:
        """Take a body."""

    async def takes_query(request: web.Request, *, query: Any) -> None:
        """Take a query."""

    takes_body.__annotations__["body"] = model
    takes_query.__annotations__["query"] = model
    made = endpoint("POST", "/v1/things", access=toy.PUBLIC)(
        takes_query if as_query else takes_body
    )
    return document([made], title="T", version="1", security={})


@pytest.mark.parametrize("name", GOOD)
def test_what_is_bounded_is_not_named(name: str) -> None:
    assert unbounded(described(GOOD[name])) == []


@pytest.mark.parametrize("fault", BAD)
def test_what_is_not_bounded_is_named_with_its_place(fault: str) -> None:
    found = unbounded(described(BAD[fault]))

    assert any(fault in one for one in found), found
    assert all(one.startswith("POST /v1/things application/json/value") for one in found)


def test_queries_are_walked_too() -> None:
    assert unbounded(described(Annotated[int, Field(le=5)], as_query=True)) == [
        "POST /v1/things ?value: integer without a lower bound"
    ]


def test_the_toy_is_bounded_throughout() -> None:
    assert unbounded(toy.described()) == []
