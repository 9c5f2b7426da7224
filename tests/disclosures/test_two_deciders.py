"""Two members of staff decide of one disclosure in the same moment: one of them does."""

import asyncio
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.disclosures import service, store
from server.disclosures.model import Act, DisclosureActRefused, ShownDisclosure
from server.kit import db
from server.kit.db import Connection
from server.ledger.model import Actor, ActorKind
from tests.disclosures.acts import People, acts, recorded
from tests.told import told
from tests.waiting import A_ROW, until_somebody_waits_for
from tests.world import NOW, World, add_member


async def decide(
    conn: Connection, world: World, disclosure_id: UUID, act: Act, by: UUID
) -> ShownDisclosure:
    return await service.decide(
        conn,
        world.vault,
        world.company_id,
        disclosure_id,
        act,
        by=Actor(kind=ActorKind.MAIN_USER, member_id=by),
        by_member=by,
        now=NOW,
    )


async def both(world: World, people: People, disclosure_id: UUID) -> ShownDisclosure:
    """Let one release, and another refuse before that is committed; return what the other did."""
    other = await add_member(world.vault, world.pool, world.company_id, role="main_user")

    async def refuse() -> ShownDisclosure:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await decide(conn, world, disclosure_id, Act.REFUSE, other)

    async with db.tenant(world.pool, world.company_id) as conn:
        await decide(conn, world, disclosure_id, Act.RELEASE, people.boss_id)
        refusing = asyncio.create_task(refuse())
        await until_somebody_waits_for(world.owner, A_ROW)
    return await refusing


async def state(world: World) -> str:
    found: str = await world.owner.fetchval("SELECT state FROM disclosure")
    return found


async def test_who_comes_second_learns_that_it_is_decided(
    world: World, client: ClientSession, people: People
) -> None:
    disclosure_id = UUID(await recorded(client, people))

    with pytest.raises(DisclosureActRefused):
        await both(world, people, disclosure_id)

    assert await state(world) == "released"
    assert await acts(world) == ["disclosure_recorded", "disclosure_released"]
    assert [kind for kind, _ in await told(world, people.driver_id)] == ["disclosure_made"]


async def test_control_without_the_lock_both_decide(
    world: World, client: ClientSession, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure_id = UUID(await recorded(client, people))
    monkeypatch.setattr(store, "lock", store.get)

    await both(world, people, disclosure_id)

    # The driver was told that it was given, and the register says that it never will be.
    assert await state(world) == "refused"
    assert await acts(world) == [
        "disclosure_recorded",
        "disclosure_released",
        "disclosure_refused",
    ]
    assert [kind for kind, _ in await told(world, people.driver_id)] == ["disclosure_made"]
