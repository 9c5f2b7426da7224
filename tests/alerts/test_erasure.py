"""Alerts go with the driver they are about, also out of old dumps."""

from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession

from server.alerts import choices, service
from server.alerts.model import ALERT_SCHEMA, EVERYTHING
from server.alerts.service import Judged
from server.kek.key_file import load
from server.kit import db
from server.kit.db import Pool
from server.vault.model import SealedText
from server.vault.opening import open_vault
from tests.alerts.seen import alerts, judge, planned
from tests.http import bearer
from tests.world import NOW, World, add_driver


async def kept(world: World) -> list[SealedText]:
    """Return the particulars as an old dump would hold them."""
    rows = await world.owner.fetch("SELECT alert_id, particulars_sealed FROM alert")
    return [
        SealedText(sealed=row["particulars_sealed"], row_id=row["alert_id"], schema=ALERT_SCHEMA)
        for row in rows
    ]


async def test_after_the_erasure_an_old_dump_opens_with_no_key(
    world: World, keys_pool: Pool, kek_file: Path
) -> None:
    route = await planned(world)
    await judge(world, route.late(20.0))
    dumped = await kept(world)
    ids = (world.company_id, world.driver.member_id)
    # The control: while the driver is there, the very same bytes open.
    (text,) = await world.vault.open_texts(world.company_id, dumped)
    assert text is not None
    assert str(route.stop_ids[1]) in text

    async with db.tenant(world.pool, world.company_id) as conn:
        deleted = await service.erase(conn, *ids)
    await world.vault.destroy(*ids, NOW)

    fresh = await open_vault(keys_pool, load(kek_file), NOW)
    for vault in (world.vault, fresh):
        assert await vault.open_texts(world.company_id, dumped) == [None]
    assert (deleted, await kept(world)) == (1, [])
    # Whoever had computed the route before raises nothing about somebody who is gone.
    assert await judge(world, route.late(20.0)) == Judged(raised=0, cleared=0)


async def test_alerts_about_others_stay(world: World) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    mine, theirs = await planned(world), await planned(world, other.member_id)
    await judge(world, mine.late(20.0), theirs.late(20.0))

    async with db.tenant(world.pool, world.company_id) as conn:
        deleted = await service.erase(conn, world.company_id, world.driver.member_id)

    assert (deleted, await alerts(world)) == (1, [("late", 1, True)])


async def test_an_alert_whose_key_is_gone_is_left_out(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    await judge(world, (await planned(world)).late(20.0))
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    async with client.get("/v1/alerts", headers=bearer(dispatcher)) as answer:
        assert (answer.status, (await answer.json())["items"]) == (200, [])


async def test_wishes_go_with_the_member(world: World) -> None:
    ids = (world.company_id, world.driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await choices.set_wishes(conn, *ids, EVERYTHING, now=NOW)

        assert await service.erase(conn, *ids) == len(EVERYTHING)


async def test_what_was_raised_can_never_be_changed_by_the_server(world: World) -> None:
    await judge(world, (await planned(world)).late(20.0))

    for column in ("particulars_sealed = ''", "raised_at = now()", "kind = 'off_route'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.tenant(world.pool, world.company_id) as conn:
                await conn.execute(f"UPDATE alert SET {column}")  # noqa: S608 - named here
