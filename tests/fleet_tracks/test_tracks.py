"""The tracks of many drivers: each as far as they share it."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from server.fleet_tracks import service
from server.fleet_tracks.model import DRIVERS_MAX
from server.gate.model import GateItem
from server.kit import db
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.tracking import service as tracking
from server.tracking.model import Availability, TrackPurpose
from tests.fleet_tracks.fleet import HOUR, MINUTE, Fleet, ids
from tests.told import last_entry
from tests.world import NOW, add_company, add_driver, add_member, open_session


async def test_several_tracks_come_in_one_answer_each_with_its_own_availability(
    fleet: Fleet,
) -> None:
    silent, hidden = await fleet.add(2)
    await fleet.drive(fleet.first, (0, 0), (50, 0), accuracy_m=4.5, source="gps")
    await fleet.drive(hidden, (0, 0))
    await fleet.withdraw(hidden)

    status, answer = await fleet.tracks(*ids([fleet.first, silent, hidden]))

    found = {one["driver_id"]: one for one in answer.pop("items")}
    assert (status, answer) == (
        200,
        {
            "from": rfc3339(NOW - 3 * HOUR),
            "to": rfc3339(NOW + HOUR),
            "purpose": "plan_fact",
            "next_cursor": None,
        },
    )
    assert {one: track["availability"] for one, track in found.items()} == {
        str(fleet.first.member_id): "full",
        str(silent.member_id): "no_positions",
        str(hidden.member_id): "not_shared",
    }
    track = found[str(fleet.first.member_id)]
    assert track["count"] == 2
    assert track["columns"]["recorded_at"] == [rfc3339(NOW - timedelta(seconds=10)), rfc3339(NOW)]
    assert (track["columns"]["accuracy_m"], track["columns"]["source"]) == ([4.5] * 2, ["gps"] * 2)


async def test_who_was_shown_is_written_down_and_nobody_else(fleet: Fleet) -> None:
    silent, hidden, unasked = await fleet.add(3)
    for driver in (fleet.first, hidden, unasked):
        await fleet.drive(driver, (0, 0))
    await fleet.withdraw(hidden)

    await fleet.tracks(*ids([fleet.first, silent, hidden]))

    assert await fleet.looks() == {("dispatcher", "plan_fact", "track")}
    assert await fleet.looked_at() == {str(fleet.first.member_id)}
    # Who asks for what is not shared stands in the ledger, as with one driver.
    facts = {"purpose": "plan_fact", "screen": "track"}
    assert await last_entry(fleet.world) == ("read_refused", "dispatcher", facts)


async def test_without_ids_it_is_everybody_who_shares_page_by_page(fleet: Fleet) -> None:
    drivers = [fleet.first, *await fleet.add(4)]
    for driver in drivers:
        await fleet.drive(driver, (0, 0))
    await fleet.withdraw(drivers.pop())

    _, answer = await fleet.tracks(limit=2)
    pages = [answer]
    while answer["next_cursor"]:
        _, answer = await fleet.tracks(limit=2, cursor=answer["next_cursor"])
        pages.append(answer)
    shown = [one["driver_id"] for page in pages for one in page["items"]]

    assert (shown, len(pages)) == (ids(drivers), 2)
    assert (
        await fleet.world.owner.fetchval(
            "SELECT count(*) FROM ledger_entry WHERE act = 'read_refused'"
        )
        == 0
    )


async def test_a_page_never_holds_too_many_positions(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "POSITIONS_MAX", 5)
    others = await fleet.add(2)
    for driver in (fleet.first, *others):
        await fleet.drive(driver, *([(0.0, 0.0)] * 3))

    _, first = await fleet.tracks()
    _, second = await fleet.tracks(cursor=first["next_cursor"])
    await fleet.drive(fleet.first, *([(0.0, 0.0)] * 3), until=NOW - MINUTE)
    status, alone = await fleet.tracks(fleet.first.member_id)

    assert [len(one["items"]) for one in (first, second)] == [1, 1]
    assert (status, alone["items"][0]["availability"]) == (200, "too_long")


async def test_a_driver_of_another_company_answers_as_one_who_is_not_there(fleet: Fleet) -> None:
    world = fleet.world
    other = await add_company(world.vault, world.owner)
    foreign = await add_driver(world.vault, world.pool, other)
    chief = await add_member(world.vault, world.pool, other, role="main_user")

    answers = [
        await fleet.tracks(fleet.first.member_id, one) for one in (foreign.member_id, uuid7())
    ]
    own = await fleet.tracks(token=await open_session(world.pool, other, chief))

    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"]) == (404, "driver-not-found")
    assert [one["driver_id"] for one in own[1]["items"]] == [str(foreign.member_id)]


async def test_many_drivers_are_read_as_each_is_alone(fleet: Fleet) -> None:
    """The fence is the same, whatever a driver did."""
    regranted, paused, apart, late, blocked = await fleet.add(5)
    drivers = (fleet.first, regranted, paused, apart, late, blocked)
    for driver in drivers:
        await fleet.drive(driver, *([(0.0, 0.0)] * 9), step_s=60)
    world = fleet.world
    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute(
            "UPDATE gate SET plan_fact_since = $2 WHERE driver_id = $1",
            regranted.member_id,
            NOW - 4 * MINUTE,
        )
        await conn.execute(
            "INSERT INTO set_apart VALUES ($1, $2, $3, 0)",
            world.company_id,
            apart.member_id,
            NOW - 3 * MINUTE,
        )
        await conn.execute(
            "UPDATE gate SET plan_fact_until = $2 WHERE driver_id = $1", late.member_id, NOW
        )
        await conn.execute(
            "UPDATE gate SET account_active = false WHERE driver_id = $1", blocked.member_id
        )
    await fleet.pause(paused, since=NOW - 5 * MINUTE, until=NOW - 2 * MINUTE)

    for until in (NOW + HOUR, NOW - 4 * MINUTE):
        async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
            span = (NOW - 3 * HOUR, until)
            many = await service.page(
                conn,
                world.vault,
                world.company_id,
                [one.member_id for one in drivers],
                *span,
                after=UUID(int=0),
                limit=DRIVERS_MAX,
                now=NOW,
            )
            alone = [
                await tracking.gather(
                    conn,
                    world.vault,
                    world.company_id,
                    one.gate.driver_id,
                    *span,
                    purpose=TrackPurpose.PLAN_FACT,
                    now=NOW,
                )
                for one in many.tracks
            ]
        read = [tracking.opened(one) for one in many.tracks]
        one_by_one = [tracking.opened(one) for one in alone]
        assert [(one.availability, one.time_ms.tolist()) for one in read] == [
            (one.availability, one.time_ms.tolist()) for one in one_by_one
        ]
        assert {one.availability for one in read} >= {Availability.FULL, Availability.NOT_SHARED}


@pytest.mark.parametrize(
    "item", [GateItem.LOCATION, GateItem.PLAN_FACT, GateItem.DISPATCH_TRACKING]
)
async def test_only_the_consent_to_plan_versus_fact_is_needed(fleet: Fleet, item: GateItem) -> None:
    await fleet.drive(fleet.first, (0, 0))
    await fleet.withdraw(fleet.first, item)

    _, answer = await fleet.tracks(fleet.first.member_id)

    needed = item is not GateItem.DISPATCH_TRACKING
    assert answer["items"][0]["availability"] == ("not_shared" if needed else "full")


async def test_a_map_gets_what_makes_a_difference_on_it(fleet: Fleet) -> None:
    straight = [(100.0 * step, 0.0) for step in range(20)]
    await fleet.drive(fleet.first, *straight, (1900, 2000), step_s=30)

    _, whole = await fleet.tracks()
    _, thin = await fleet.tracks(zoom=10)

    kept = thin["items"][0]["columns"]["recorded_at"]
    assert (whole["items"][0]["shown"], thin["items"][0]["count"]) == (21, 21)
    assert (thin["items"][0]["shown"], len(kept)) == (3, 3)
    assert set(kept) < set(whole["items"][0]["columns"]["recorded_at"])


@pytest.mark.parametrize(
    ("query", "code", "path"),
    [
        ({"driver_id": "x"}, "fields-invalid", "?driver_id/0"),
        ({"driver_id": ""}, "fields-invalid", "?driver_id/0"),
        ({"driver_id": ",".join([str(uuid7())] * 51)}, "fields-invalid", "?driver_id"),
        ({"limit": 0}, "fields-invalid", "?limit"),
        ({"limit": DRIVERS_MAX + 1}, "fields-invalid", "?limit"),
        ({"zoom": 23}, "fields-invalid", "?zoom"),
        ({"zoom": -1}, "fields-invalid", "?zoom"),
        ({"from": "now"}, "fields-invalid", "?from"),
        ({"purpose": "plan_fact"}, "fields-invalid", "?purpose"),
        ({"cursor": "AAAA"}, "cursor-invalid", "?cursor"),
        ({"to": rfc3339(NOW - 3 * HOUR)}, "track-span-invalid", None),
        ({"to": rfc3339(NOW - 4 * HOUR)}, "track-span-invalid", None),
        ({"to": rfc3339(NOW + timedelta(days=31))}, "track-span-invalid", None),
    ],
)
async def test_what_cannot_be_read_is_named(
    fleet: Fleet, query: dict[str, Any], code: str, path: str | None
) -> None:
    status, problem = await fleet.tracks(**query)

    assert (status, problem["code"]) == (422, code)
    assert path is None or [one["path"] for one in problem["fields"]] == [path]


async def test_drivers_and_devices_may_not_read_the_fleet(fleet: Fleet) -> None:
    for token in (await fleet.world.driver_session(), fleet.first.device_token):
        status, problem = await fleet.tracks(token=token)

        assert (status, problem["code"]) == (403, "not-permitted")
        assert "51.12" not in json.dumps(problem)
