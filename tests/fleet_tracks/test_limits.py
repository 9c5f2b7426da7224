"""What is opened, counted and searched of a fleet, and no more than that."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from server.fleet_tracks import service, store
from server.fleet_tracks import web as fleet_tracks
from server.fleet_tracks.model import Area, Found, Share
from server.gate import service as gates
from server.gate.drawing import ReadsBusy
from server.kit import db
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.tracking import service as tracking
from server.tracking.service import SealedTrack
from tests.fleet_tracks.fleet import HOUR, MINUTE, Fleet, ids
from tests.world import NOW, Driver


@pytest.mark.parametrize(
    ("given", "ends"), [(NOW, NOW - 10 * HOUR), (NOW - timedelta(days=900), NOW - 800 * 24 * HOUR)]
)
async def test_who_shares_nothing_of_that_time_is_not_among_those_searched(
    fleet: Fleet, given: Any, ends: Any
) -> None:
    """They agreed only later, or the company keeps nothing that is so old."""
    await fleet.world.owner.execute("UPDATE gate SET plan_fact_since = $1", given)

    _, answer = await fleet.search(**{"from": rfc3339(ends - HOUR), "to": rfc3339(ends)})
    _, lately = await fleet.search(**{"from": rfc3339(NOW - HOUR), "to": rfc3339(NOW + HOUR)})

    assert (answer["drivers_searched"], lately["drivers_searched"]) == (0, 1)


async def test_whose_track_fits_on_no_page_is_named_and_the_pages_go_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "POSITIONS_MAX", 5)
    drivers = sorted([fleet.first, *await fleet.add(4)], key=lambda one: one.member_id)
    for place, driver in enumerate(drivers):
        await fleet.stand(driver, 8 if place in (0, 3) else 2)

    pages = [(await fleet.tracks())[1]]
    while pages[-1]["next_cursor"]:
        pages.append((await fleet.tracks(cursor=pages[-1]["next_cursor"]))[1])

    items = [[(one["availability"], one["count"]) for one in page["items"]] for page in pages]
    assert items == [
        [("too_long", 0), ("full", 2), ("full", 2), ("too_long", 0)],
        [("full", 2)],
    ]
    assert [one["driver_id"] for page in pages for one in page["items"]] == ids(drivers)
    assert pages[0]["items"][0]["columns"]["lat"] == []
    assert await fleet.looked_at() == set(ids(drivers)) - set(ids([drivers[0], drivers[3]]))


async def test_a_long_track_is_searched_part_by_part_and_as_if_at_once(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes in range(50, 0, -2):  # each an upload of its own
        places = [(30.0 * (minutes % 5), 20.0 * step) for step in range(4)]
        await fleet.drive(fleet.first, *places, until=NOW - minutes * MINUTE, step_s=20)
    at_once = await fleet.search()
    opened: list[int] = []
    part, open_it = tracking.part, tracking.opened

    async def reading(*known: Any, **names: Any) -> SealedTrack:
        return await part(*known, **names)

    def opening(found: SealedTrack) -> Any:
        track = open_it(found)
        opened.append(len(track))
        return track

    monkeypatch.setattr(tracking, "part", reading)
    monkeypatch.setattr(tracking, "opened", opening)
    monkeypatch.setattr(service, "PART_POSITIONS_MIN", 10)
    monkeypatch.setattr(service, "BATCH_POSITIONS", 7)

    in_parts = await fleet.search()

    assert in_parts == at_once
    assert at_once[1]["items"][0]["visits"]
    assert len(opened) > 5
    assert sum(opened) == 100
    assert max(opened) < 20


def counting(
    monkeypatch: pytest.MonkeyPatch, fleet: Fleet, stop: Sequence[Driver], *, forget: bool = False
) -> list[int]:
    """Let drivers begin a pause, one after each search; return how many each looked at."""
    searched: list[int] = []
    left = list(stop)
    search = service.search

    async def paused_after(
        pool: Any, vault: Any, company_id: Any, area: Area, shares: Sequence[Share]
    ) -> list[Found]:
        found = await search(pool, vault, company_id, area, shares)
        searched.append(len(shares))
        if left:
            async with db.tenant(fleet.world.pool, company_id) as conn:
                await gates.close_window(conn, company_id, left.pop().member_id, at=NOW)
        return found

    monkeypatch.setattr(service, "search", paused_after)
    if forget:
        again: Callable[..., Any] = service.search_again

        async def from_the_start(*known: Any) -> Any:
            return await again(*known[:-1], {})

        monkeypatch.setattr(service, "search_again", from_the_start)
    return searched


@pytest.mark.parametrize(("forget", "expected"), [(False, [4, 1, 1]), (True, [4, 4, 4])])
async def test_only_whose_gate_changed_is_searched_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, *, forget: bool, expected: list[int]
) -> None:
    others = await fleet.add(3)
    for driver in (fleet.first, *others):
        await fleet.stand(driver)
    searched = counting(monkeypatch, fleet, others[:2], forget=forget)

    status, answer = await fleet.search()

    assert (status, searched) == (200, expected)
    assert [one["driver_id"] for one in answer["items"]] == ids([fleet.first, *others])


async def test_searches_of_one_company_leave_room_for_those_of_others() -> None:
    turns, one = fleet_tracks._searches, uuid4()  # noqa: SLF001 - nobody else has them

    async with turns.one(one):
        assert turns.inside == 1
        turns._inside[one] += 1  # noqa: SLF001 - a second one waits
        try:
            with pytest.raises(ReadsBusy):
                async with turns.one(one):
                    pass
        finally:
            turns._inside[one] -= 1  # noqa: SLF001


class Explaining:
    """Stands in for a connection: runs statements, and tells how many rows each looked at."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self.rows = 0

    async def fetch(self, statement: str, *known: Any) -> list[Any]:
        plan = await self._owner.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *known)
        self._count(json.loads(plan)[0]["Plan"])
        return []

    def _count(self, node: dict[str, Any]) -> None:
        if node.get("Relation Name") == "chunk":
            each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            self.rows += round(each * node["Actual Loops"])
        for inner in node.get("Plans", ()):
            self._count(inner)


async def test_of_an_old_day_no_later_month_is_looked_at(fleet: Fleet) -> None:
    world, driver_id = fleet.world, fleet.first.member_id
    await world.owner.execute(
        "INSERT INTO chunk SELECT $1, $2, t + interval '59 minutes', gen_random_uuid(), t, t, 9,"
        " gen_random_uuid(), '\\x00'::bytea"
        " FROM generate_series($3::timestamptz - interval '300 days', $3, interval '1 hour') t",
        world.company_id,
        driver_id,
        NOW,
    )
    await world.owner.execute("ANALYZE chunk")
    since = NOW - timedelta(days=290)
    until = since + timedelta(days=1)
    looking = Explaining(world.owner)
    conn = cast("Connection", looking)

    async with world.owner.transaction():
        # A table so small is read whole, whatever is asked for.
        await world.owner.execute("SET LOCAL enable_seqscan = off")
        await store.extents(
            conn, world.company_id, [driver_id], [since - HOUR], since=since, until=until
        )
        await store.chunks(conn, world.company_id, [driver_id], [since], until=until)

    assert 48 <= looking.rows <= 2 * 31 * 24
