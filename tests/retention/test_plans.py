"""Plans of routes go after their own time, and not before what is still kept of their route."""

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from server import databases as databases_of
from server import running, settings
from server.kit import db
from server.kit.ids import uuid7
from server.kit.web import utc_now
from server.retention import plans
from server.retention.model import ClocksApart, PlanDaysInvalid
from tests.conftest import Databases
from tests.retention.rows import DAY, SECOND
from tests.retention.test_kinds import ATTACHED, add_route, attach
from tests.retention.test_service import entries
from tests.world import NOW, World, add_company

KEPT: Final = 365 * DAY
LIMIT: Final = NOW - KEPT


async def forget(world: World, now: datetime = NOW) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await plans.forget_old(conn, world.company_id, now)


async def left(world: World) -> set[UUID]:
    """Return the routes that are there, each with its older version."""
    routes = await world.owner.fetch("SELECT route_id FROM route")
    versions = await world.owner.fetch("SELECT route_id FROM route_version")
    found = {row["route_id"] for row in routes}
    assert {row["route_id"] for row in versions} == found
    return found


async def test_a_plan_goes_with_its_versions_when_it_ended_long_enough_ago(world: World) -> None:
    await add_route(world, LIMIT - SECOND)
    young = await add_route(world, LIMIT)

    assert await forget(world) == 1
    assert await left(world) == {young}


@pytest.mark.parametrize("kind", ATTACHED)
async def test_a_plan_stays_while_anything_is_kept_of_its_route(world: World, kind: str) -> None:
    route_id = await add_route(world, LIMIT - SECOND)
    await attach(world, kind, route_id, NOW)

    assert await forget(world) == 0
    assert await left(world) == {route_id}


async def test_a_plan_that_somebody_adds_to_just_now_stays_until_the_next_run(
    world: World, databases: Databases
) -> None:
    busy = await add_route(world, LIMIT - SECOND)
    await add_route(world, LIMIT - SECOND)
    other = await asyncpg.connect(databases.main)
    adding = other.transaction()
    await adding.start()
    await other.execute(ATTACHED["links"], world.company_id, busy, world.driver.member_id, NOW)

    assert await forget(world) == 1
    await adding.commit()
    await other.close()

    assert await left(world) == {busy}


async def test_an_import_is_known_while_a_plan_of_it_is_there(world: World) -> None:
    imports = uuid7(), uuid7()
    for import_id in imports:
        await world.owner.execute(
            "INSERT INTO route_import (company_id, import_id, digest, imported_at)"
            " VALUES ($1, $2, sha256('sent'), $3)",
            world.company_id,
            import_id,
            LIMIT - DAY,
        )
        await add_route(world, LIMIT - SECOND, import_id=import_id)
    await add_route(world, LIMIT, import_id=imports[1])

    assert await forget(world) == 2

    known = await world.owner.fetch("SELECT import_id FROM route_import")
    assert [row["import_id"] for row in known] == [imports[1]]


async def test_a_company_that_is_older_than_the_setting_keeps_its_plans(world: World) -> None:
    await world.owner.execute("UPDATE company SET plan_days = NULL")
    route_id = await add_route(world, LIMIT - 1000 * DAY)

    assert await forget(world) == 0
    assert await left(world) == {route_id}


async def test_plans_of_other_companies_stay(world: World) -> None:
    await add_route(world, LIMIT - SECOND)

    other = await add_company(world.vault, world.owner)
    async with db.tenant(world.pool, other) as conn:
        assert await plans.forget_old(conn, other, NOW) == 0
    assert await forget(world) == 1


async def test_no_plan_goes_by_a_clock_that_is_wrong(world: World) -> None:
    now = utc_now()
    await add_route(world, now)

    with pytest.raises(ClocksApart):
        await plans.forget_due(world.pool, world.company_id, now + 2 * KEPT)

    assert len(await left(world)) == 1
    # The control: were it that late, it would go.
    assert await forget(world, now + 2 * KEPT) == 1


async def test_an_operator_says_for_how_long(
    world: World, databases: Databases, kek_file: Path
) -> None:
    await add_route(world, NOW - 40 * DAY)
    found = settings.read({"JOLDA_KEK_FILE": str(kek_file)})
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)

    async def keep_for(days: int) -> int | None:
        return await running.keep_plans(found, dsns, company_id=world.company_id, days=days)

    for days in (0, 3651):
        with pytest.raises(PlanDaysInvalid):
            await keep_for(days)
    assert await keep_for(30) == 365
    assert await keep_for(90) == 30
    assert await forget(world) == 0
    await keep_for(30)
    assert await forget(world) == 1
    assert await entries(world, "plan_days_set") == [
        '{"before":365,"plan_days":30}',
        '{"before":30,"plan_days":90}',
        '{"before":90,"plan_days":30}',
    ]
