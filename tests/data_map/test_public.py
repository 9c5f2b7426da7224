"""The data map that anybody may read: nothing that is stored about people is left out of it."""

import json
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from server.data_map.model import FILE, columns
from server.data_map.web import ENDPOINTS
from tests.data_map import words
from tests.data_map.catalogue import Column, read
from tests.data_map.checks import Code, wrong
from tests.data_map.page import document
from tests.data_map.test_data_map import code, every
from tests.endpoints import POLICIES
from tests.http import serve
from tests.policies.acts import current
from tests.world import World

__all__ = ["code", "every"]


async def test_the_document_is_what_the_columns_say(every: list[Column]) -> None:
    assert FILE.read_text("utf-8") == document(every), "Run: python -m tests.data_map"


async def read_it(client: ClientSession) -> list[dict[str, str | None]]:
    answer = await client.get("/v1/data-map")  # no log-in
    assert answer.status == 200
    found: list[dict[str, str | None]] = (await answer.json())["items"]
    return found


@pytest.mark.proves("relog-service:1.1")
async def test_anybody_reads_beside_the_policy_what_is_stored_of_people(
    world: World,
    every: list[Column],
) -> None:
    async with serve(world, POLICIES, ENDPOINTS) as client:
        shown = await current(client, world)
        found = await read_it(client)

    assert shown["text"]
    assert (shown["edition"], len(shown["sha256"])) == (1, 64)
    personal = {
        (one.database, one.table, one.name) for one in every if read(one).category is not None
    }
    assert {(one["database"], one["table"], one["column"]) for one in found} == personal
    assert len(personal) >= 250  # else the comparison says nothing
    for one in found:
        assert all((one["purpose"], one["form"], one["kept_until"]))
        assert (one["erased_by"] is None) != (one["not_erased"] is None)
        assert (one["given_by"] is None) != (one["not_given"] is None)


async def test_control_a_column_that_is_left_out_is_found(every: list[Column]) -> None:
    fewer = [one for one in every if one.name != "name_sealed"]

    assert document(fewer) != document(every)
    assert len(json.loads(document(every))) == len(columns())


@pytest.mark.proves("relog-driver-manager-apps:4.1")
async def test_a_column_of_which_nobody_says_why_it_is_needed_fails(
    every: list[Column],
    code: Code,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert wrong(every, code) == []  # the control
    made_up = replace(
        every[0],
        comment="class=personal/hobby form=clear retention=erasure eraser=erase_account"
        " exporter=none:internal",
    )
    assert any("is of a class that there is not" in one for one in wrong([made_up], code))

    monkeypatch.delitem(words.PURPOSES, "track")

    of_tracks = [one for one in every if read(one).category == "track"]
    assert of_tracks
    assert wrong(every, code) == [
        f"{one} is of a category that nobody says why it is needed: track." for one in of_tracks
    ]
