"""Erasing whoever asked, and erasing whoever answered."""

from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession

from server.clarifications import service
from server.kek.key_file import load
from server.kit import db
from server.kit.db import Pool
from server.vault.model import SealedText
from server.vault.opening import open_vault
from tests.clarifications.acts import ANSWER, MINE, QUESTION, People, answer, asked, call
from tests.world import NOW, World


async def kept(world: World) -> list[SealedText]:
    """Return the sealed texts as an old dump would hold them."""
    rows = await world.owner.fetch(
        "SELECT clarification_id, question_sealed, answer_sealed FROM clarification"
    )
    return [
        SealedText(sealed=row[column], row_id=row["clarification_id"], schema=schema)
        for row in rows
        for column, schema in (
            ("question_sealed", service.QUESTION_SCHEMA),
            ("answer_sealed", service.ANSWER_SCHEMA),
        )
    ]


@pytest.mark.proves("relog-driver-manager-apps:2.1.2")
async def test_after_the_erasure_an_old_dump_opens_with_no_key(
    client: ClientSession, world: World, people: People, keys_pool: Pool, kek_file: Path
) -> None:
    await answer(client, people.dispatcher, await asked(client, people.driver))
    dumped = await kept(world)
    company_id, driver_id = world.company_id, world.driver.member_id
    # The control: while the driver is there, the very same bytes open.
    assert await world.vault.open_texts(company_id, dumped) == [QUESTION, ANSWER]

    async with db.tenant(world.pool, company_id) as conn:
        deleted = await service.erase(conn, company_id, driver_id)
    await world.vault.destroy(company_id, driver_id, NOW)

    fresh = await open_vault(keys_pool, load(kek_file), NOW)
    for vault in (world.vault, fresh):
        assert await vault.open_texts(company_id, dumped) == [None, None]
    assert deleted == 1
    assert await kept(world) == []


@pytest.mark.parametrize("swapped", ["row", "column"])
async def test_a_sealed_text_opens_only_in_its_own_row_and_column(
    client: ClientSession, world: World, people: People, swapped: str
) -> None:
    for _ in range(2):
        await answer(client, people.dispatcher, await asked(client, people.driver))
    if swapped == "row":
        statement = (
            "UPDATE clarification c SET question_sealed = o.question_sealed FROM clarification o"
            " WHERE o.clarification_id <> c.clarification_id"
        )
    else:
        statement = "UPDATE clarification SET question_sealed = answer_sealed"
    await world.owner.execute(statement)

    assert (await call(client, "GET", MINE, people.driver))[0] == 500


async def test_who_answered_is_forgotten_and_the_answer_stays(
    client: ClientSession, world: World, people: People
) -> None:
    await answer(client, people.dispatcher, await asked(client, people.driver))
    named = await world.owner.fetchval("SELECT answered_by FROM clarification")

    async with db.tenant(world.pool, world.company_id) as conn:
        deleted = await service.erase(conn, world.company_id, people.dispatcher_id)

    _, mine = await call(client, "GET", MINE, people.driver)
    assert (named, deleted) == (people.dispatcher_id, 0)
    assert (mine["items"][0]["answer"], mine["items"][0]["answered_by"]) == (ANSWER, "")
    assert await world.owner.fetchval("SELECT answered_by FROM clarification") is None


async def test_what_was_asked_can_never_be_changed_by_the_server(
    client: ClientSession, world: World, people: People
) -> None:
    await asked(client, people.driver)

    for column in ("question_sealed = ''", "edition = 2", "member_id = company_id"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.tenant(world.pool, world.company_id) as conn:
                await conn.execute(f"UPDATE clarification SET {column}")  # noqa: S608 - named here
