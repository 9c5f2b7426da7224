"""The glue: annotations in, requests checked, answers out."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession, web

from server.kit.api import endpoint
from server.kit.ids import uuid7
from tests.kit import toy

HOLDER = {"Authorization": f"Bearer {toy.TOKEN}"}
PLACE: dict[str, Any] = {"name": "Depot", "lat": 43.2, "lon": 76.9}


@pytest.fixture
async def client() -> AsyncGenerator[ClientSession]:
    async with toy.served() as opened:
        yield opened


async def test_what_was_sent_arrives_typed_and_comes_back(client: ClientSession) -> None:
    sent = {**PLACE, "kind": "shop", "open_from": "2026-11-22T08:00:00+05:00"}
    async with client.post("/v1/places", json=sent, headers=HOLDER) as response:
        made = await response.json()
    async with client.get(f"/v1/places/{made['place_id']}") as again:
        found = await again.json()
    async with client.get("/v1/places?kind=shop&limit=1") as listed:
        page = await listed.json()

    assert response.status == 201
    assert made == found
    assert made["open_from"] == "2026-11-22T03:00:00Z"
    assert page == {"items": [made], "next_cursor": None}


async def test_a_list_in_a_query_is_given_several_times_and_nothing_else_is(
    client: ClientSession,
) -> None:
    ids = []
    for name in ("North", "South", "West"):
        async with client.post("/v1/places", json={**PLACE, "name": name}, headers=HOLDER) as made:
            ids.append((await made.json())["place_id"])
    for query, expected in (
        ([("place_id", ids[0])], ids[:1]),
        ([("place_id", ids[0]), ("place_id", ids[2])], [ids[0], ids[2]]),
        ([("place_id", f"{ids[0]},{ids[1]}")], ids[:2]),
    ):
        async with client.get("/v1/places", params=query) as listed:
            assert [one["place_id"] for one in (await listed.json())["items"]] == expected
    for query, path in (
        ([("place_id", one) for one in ids], "?place_id"),
        ([("place_id", ids[0]), ("place_id", "CANARY")], "?place_id/1"),
        ([("kind", "shop"), ("kind", "shop")], "?kind"),
    ):
        async with client.get("/v1/places", params=query) as refused:
            told = await refused.json()
            assert (refused.status, [one["path"] for one in told["fields"]]) == (422, [path])
            assert "CANARY" not in str(told)


async def test_nothing_returned_is_204_without_a_body(client: ClientSession) -> None:
    async with client.post("/v1/places", json=PLACE, headers=HOLDER) as response:
        made = await response.json()
    async with client.delete(f"/v1/places/{made['place_id']}", headers=HOLDER) as response:
        assert (response.status, await response.read()) == (204, b"")
    async with client.get(f"/v1/places/{made['place_id']}") as response:
        assert (response.status, (await response.json())["code"]) == (404, "place-unknown")


async def test_who_may_not_call_is_told_before_anything_is_read(client: ClientSession) -> None:
    async with client.post("/v1/places", data=b"\xff not json") as response:
        assert (response.status, (await response.json())["code"]) == (401, "not-authenticated")


@pytest.mark.parametrize(
    "place_id",
    ["1", "CANARY", "0199c0de", "%00", "%FF%FE", "..%2f..", "..%5c..", "a" * 500, "%F0%9F%9A%91"],
)
async def test_an_id_that_is_none_is_not_found(client: ClientSession, place_id: str) -> None:
    async with client.get(f"/v1/places/{place_id}") as response:
        told = await response.text()

    assert response.status == 404
    assert response.content_type == "application/problem+json"
    assert "CANARY" not in told


async def test_a_rule_of_the_domain_has_its_own_code(client: ClientSession) -> None:
    async with client.post("/v1/places", json=PLACE, headers=HOLDER) as first:
        assert first.status == 201
    async with client.post("/v1/places", json=PLACE, headers=HOLDER) as second:
        told = await second.json()

    assert second.status == 409
    assert told["type"] == "/problems/place-taken"
    assert told["title"] == "There is a place of this name"


def test_a_parameter_that_comes_from_nowhere_is_refused_when_declared() -> None:
    async def handler(_request: web.Request, *, place: UUID) -> None:
        """Take something that is neither path, body nor query."""

    with pytest.raises(TypeError, match=r"neither path, body nor query.*place"):
        endpoint("GET", "/v1/places", access=toy.PUBLIC)(handler)


def test_an_endpoint_knows_its_name_status_and_tag() -> None:
    assert toy.add_place.name == "add_place"
    assert toy.add_place.status is HTTPStatus.CREATED
    assert toy.remove_place.status is HTTPStatus.NO_CONTENT
    assert toy.add_place.tag == "kit"  # the second part of its module's name
    assert toy.add_place.takes_body
    assert not toy.get_place.takes_body


async def test_many_ids_of_one_place_are_one_place(client: ClientSession) -> None:
    unknown = uuid7()
    async with client.get(f"/v1/places/{unknown}") as response:
        assert (await response.json())["code"] == "place-unknown"
