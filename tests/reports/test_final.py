"""A final report is stored sealed, served when the track is gone, and hidden with the consent."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from server.gate import service as gates
from server.gate.model import Gate, GateMissing
from server.kit import db
from server.kit.errors import there
from server.reports import drawing, service, store
from server.reports.service import REPORT_SCHEMA, Gathered
from server.tracking import service as tracking
from server.vault.model import Category, SubjectErased
from tests.reports.days import (
    DAY,
    HOUR,
    MINUTE,
    STARTED,
    Office,
    drive,
    driven,
    finish,
    give_again,
    keep_reports,
    plan,
    rows,
    share,
    store_positions,
    withdraw,
)
from tests.world import NOW, World, add_driver

BUFFER = timedelta(hours=6)
SETTLED = NOW + 3 * DAY
LONG_AGO_GONE = NOW + 61 * DAY
"""The track is kept for 60 days."""


@pytest.fixture
async def world(world: World) -> World:
    await keep_reports(world)
    await world.owner.execute(
        "UPDATE company SET buffer_max_s = $1, track_days = 60", int(BUFFER.total_seconds())
    )
    return world


async def gathered(world: World, route_id: UUID, *, now: datetime, anew: bool = False) -> Gathered:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.gather(
            conn, world.vault, world.company_id, route_id, anew=anew, now=now
        )


async def forget_the_track(world: World) -> None:
    await world.owner.execute("DELETE FROM chunk")


async def test_once_a_route_is_over_its_report_is_stored_once(world: World) -> None:
    head = await driven(world)

    made = [await finish(world), await finish(world)]

    [row] = await rows(world)
    assert made == [1, 0]
    assert (row["route_id"], row["driver_id"]) == (head.route_id, world.driver.member_id)
    assert row["plan_version"] == head.plan_version
    assert row["since"] == STARTED - HOUR


async def test_nothing_of_a_stored_report_stands_in_clear(world: World) -> None:
    await driven(world)
    await finish(world)

    text = await world.owner.fetchval("SELECT r::text FROM plan_fact_report r")

    for secret in ("Aral", "43.2", "76.9", "visited", "actual_m"):
        assert secret not in text
        assert secret.encode().hex() not in text


async def test_a_company_that_keeps_no_reports_stores_none(world: World) -> None:
    await keep_reports(world, None)
    await driven(world)

    assert await finish(world) == 0
    assert await rows(world) == []


async def test_what_may_still_go_on_is_not_final(world: World, office: Office) -> None:
    head = await driven(world, began=NOW - HOUR)

    assert await finish(world) == 0
    assert (await office.report(head))["state"] == "live"
    assert (await office.recompute(head))[1]["code"] == "route-under-way"


async def test_positions_that_come_late_are_in_what_is_answered_and_then_in_what_is_stored(
    world: World, office: Office
) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    head = await plan(world, world.driver)
    await store_positions(world, world.driver, drive(STARTED, to_s=400))
    await finish(world)
    before = await office.report(head)

    await store_positions(world, world.driver, drive(STARTED, from_s=400))
    after = await office.report(head)
    [first] = await rows(world)
    remade = [await finish(world, now=SETTLED), await finish(world, now=SETTLED)]

    [second] = await rows(world)
    statuses = [[stop["status"] for stop in found["stops"]] for found in (before, after)]
    assert statuses == [["visited", "unknown"], ["visited", "visited"]]
    assert remade == [1, 0]
    assert first["computed_at"] < second["computed_at"]


async def test_what_is_settled_is_served_as_it_was_stored(world: World, office: Office) -> None:
    head = await driven(world)
    await finish(world, now=SETTLED)
    office.clock.at = SETTLED + HOUR

    computed = (await office.report(head))["computed_at"]
    await forget_the_track(world)
    found = await office.report(head)

    assert computed == found["computed_at"] == "2026-11-25T12:00:00Z"
    assert [stop["status"] for stop in found["stops"]] == ["visited", "visited"]
    assert found["fact"]["segments"] != []


async def test_when_the_track_is_kept_no_longer_the_stored_report_is_served(
    world: World, office: Office
) -> None:
    head = await driven(world)
    await finish(world)
    stored = await office.report(head)
    office.clock.at = LONG_AGO_GONE

    found = await office.report(head)

    assert (found["state"], found["availability"]) == ("final", "full")
    assert found == stored


async def test_control_without_a_stored_report_nothing_is_left_of_the_fact(
    world: World, office: Office
) -> None:
    head = await driven(world)
    office.clock.at = LONG_AGO_GONE

    assert (await office.report(head))["availability"] == "no_positions"


async def test_a_report_is_computed_again_by_the_present_rules_while_the_track_is_kept(
    world: World, office: Office
) -> None:
    head = await driven(world)
    await finish(world, now=SETTLED)
    await world.owner.execute("UPDATE plan_fact_report SET algorithm_version = 'older'")
    office.clock.at = SETTLED + HOUR

    status, answer = await office.recompute(head)

    [row] = await rows(world)
    assert (status, answer["is_kept"]) == (200, True)
    assert row["algorithm_version"] == answer["algorithm_version"] != "older"
    assert (await office.report(head))["computed_at"] == answer["computed_at"]


async def test_once_the_track_is_gone_what_is_stored_stays_as_it_is(
    world: World, office: Office
) -> None:
    head = await driven(world)
    await finish(world)
    before = await rows(world)
    office.clock.at = LONG_AGO_GONE

    status, answer = await office.recompute(head)

    assert (status, answer["code"]) == (409, "track-gone")
    assert await finish(world, now=LONG_AGO_GONE) == 0
    assert await rows(world) == before


async def test_where_no_reports_are_kept_there_is_none_to_compute(
    world: World, office: Office
) -> None:
    head = await driven(world)
    await keep_reports(world, None)

    assert (await office.recompute(head))[1]["code"] == "reports-not-kept"


@pytest.mark.parametrize("later", [SETTLED + HOUR, LONG_AGO_GONE])
async def test_a_stored_report_is_hidden_by_a_withdrawal_also_after_a_new_grant(
    world: World, office: Office, later: datetime
) -> None:
    head = await driven(world)
    await finish(world, now=SETTLED)
    office.clock.at = later
    shared = (await office.report(head))["availability"]

    await withdraw(world)
    withdrawn = await office.report(head)
    await give_again(world, at=later)
    given_again = await office.report(head)

    assert shared == "full"
    assert withdrawn["availability"] == "not_shared"
    assert given_again["availability"] == "no_positions"
    assert withdrawn["fact"]["segments"] == given_again["fact"]["segments"] == []
    assert len(await rows(world)) == 1


async def test_after_a_withdrawal_nothing_new_is_stored(world: World) -> None:
    await driven(world)
    await withdraw(world)

    await finish(world)

    [row] = await rows(world)
    assert row["sealed"] is None


async def test_a_report_that_was_computed_before_a_withdrawal_is_not_stored_after_it(
    world: World,
) -> None:
    head = await driven(world)
    found = await gathered(world, head.route_id, now=NOW, anew=True)
    report = drawing.compared(found)
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.REPORT, at=NOW)
    sealed = drawing.sealed(found, report, key)
    gate = there(found.gate, GateMissing)

    async def keep(under: Gate) -> bool:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await store.put(conn, world.company_id, sealed, epoch=under.epoch, now=NOW)

    before = await keep(gate)
    await world.owner.execute("DELETE FROM plan_fact_report")
    await withdraw(world)
    after = await keep(gate)
    stored = await rows(world)
    # The control: nothing but the gate that is named keeps it out.
    async with db.tenant(world.pool, world.company_id) as conn:
        present = await gates.read(conn, world.company_id, world.driver.member_id)

    assert (before, after, stored) == (True, False, [])
    assert await keep(present)


async def test_what_was_set_apart_is_hidden_with_its_report(world: World, office: Office) -> None:
    head = await driven(world)
    await finish(world, now=SETTLED)
    office.clock.at = SETTLED + HOUR
    async with db.tenant(world.pool, world.company_id) as conn:
        await tracking.set_apart(conn, world.company_id, world.driver.member_id, now=NOW)

    assert (await office.report(head))["availability"] == "no_positions"


async def test_a_report_goes_with_its_driver_and_no_key_opens_a_copy(world: World) -> None:
    await driven(world)
    await finish(world)
    [copy] = await rows(world)
    driver_id = world.driver.member_id
    other = await add_driver(world.vault, world.pool, world.company_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        erased = await service.erase(conn, world.company_id, driver_id)
    await world.vault.destroy(world.company_id, driver_id, NOW)

    assert (erased, await rows(world)) == (1, [])
    with pytest.raises(SubjectErased):
        await world.vault.key(world.company_id, driver_id, Category.REPORT, at=NOW)
    key = await world.vault.key(world.company_id, other.member_id, Category.REPORT, at=NOW)
    with pytest.raises(InvalidTag):
        key.open(copy["sealed"], row_id=copy["route_id"].bytes, schema=REPORT_SCHEMA)


async def test_a_stored_report_opens_in_no_other_row(world: World) -> None:
    await driven(world)
    await finish(world)
    [copy] = await rows(world)
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.REPORT, at=NOW)

    assert key.open(copy["sealed"], row_id=copy["route_id"].bytes, schema=REPORT_SCHEMA)
    with pytest.raises(InvalidTag):
        key.open(copy["sealed"], row_id=world.company_id.bytes, schema=REPORT_SCHEMA)


async def test_a_report_is_shown_and_kept_for_the_companys_days(
    world: World, office: Office
) -> None:
    head = await driven(world)
    await finish(world)
    await keep_reports(world, 90)
    office.clock.at = NOW + 91 * DAY

    async with db.tenant(world.pool, world.company_id) as conn:
        early = await service.forget_old(conn, world.company_id, NOW + 89 * DAY)
        due = [await service.old(conn, world.company_id, NOW + days * DAY) for days in (89, 91)]
    shown = (await office.report(head))["availability"]
    async with db.tenant(world.pool, world.company_id) as conn:
        late = await service.forget_old(conn, world.company_id, NOW + 91 * DAY)

    assert shown == "no_positions"
    assert due == [(0, None), (1, head.date)]
    assert (early, late, await rows(world)) == (0, 1, [])


async def test_a_company_that_keeps_reports_no_more_forgets_those_it_has(world: World) -> None:
    await driven(world)
    await finish(world)
    await keep_reports(world, None)

    async with db.tenant(world.pool, world.company_id) as conn:
        assert await service.forget_old(conn, world.company_id, NOW) == 1


async def test_the_servers_look_is_written_down_and_raises_no_alert(world: World) -> None:
    await world.owner.execute("UPDATE company SET bulk_read_drivers_max = 1")
    for _ in range(3):
        await driven(world, await add_driver(world.vault, world.pool, world.company_id))

    assert await finish(world) == 3

    looks = await world.owner.fetch(
        "SELECT viewer_kind, viewer_id, purpose, screen FROM location_read"
    )
    assert {tuple(row) for row in looks} == {
        ("system", world.company_id, "plan_fact", "automatic_report")
    }
    alerts = "SELECT count(*) FROM ledger_entry WHERE act = 'bulk_read_alert'"
    assert await world.owner.fetchval(alerts) == 0


async def test_where_nothing_was_driven_it_is_not_tried_again_every_minute(world: World) -> None:
    await share(world, world.driver, STARTED - 2 * HOUR)
    await plan(world, world.driver)

    made = [await finish(world), await finish(world, now=NOW + MINUTE)]

    [row] = await rows(world)
    assert (made, row["sealed"]) == ([1, 0], None)


async def test_a_route_that_was_given_to_another_driver_keeps_nothing_of_the_first(
    world: World,
) -> None:
    head = await driven(world)
    await finish(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await world.owner.execute("UPDATE route SET driver_id = $1", other.member_id)

    await finish(world)

    [row] = await rows(world)
    assert (row["route_id"], row["driver_id"], row["sealed"]) == (
        head.route_id,
        other.member_id,
        None,
    )
