"""Writing entries: in order, sealed to their subject, whatever else is down."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.kek.key_file import load
from server.kit import db
from server.kit.db import ROLE_KEYS, Pool
from server.kit.ids import uuid7
from server.ledger import service
from server.ledger.model import SYSTEM, Act, Actor, ActorKind
from server.vault.model import Category, SubjectErased
from server.vault.opening import open_vault
from tests.conftest import Databases
from tests.ledger.chains import CHECKPOINTS, append_some, bare_company, build, enrolled
from tests.ledger.details import open_details
from tests.world import NOW, World, add_member, begin_erasing

DETAIL = {"item": "location", "notice": "driver_notice"}


async def withdraw(world: World, member_id: UUID, *, company_id: UUID | None = None) -> int:
    """Append what a withdrawal would; return the index."""
    company_id = company_id or world.company_id
    async with db.tenant(world.pool, company_id) as conn:
        place = await service.append(
            conn,
            company_id,
            Act.CONSENT_WITHDRAWN,
            actor=Actor(kind=ActorKind.DRIVER, member_id=member_id),
            subject_id=member_id,
            detail=DETAIL,
            facts={"epoch": 4},
            now=NOW,
        )
    return place.index


async def entry_at(world: World, index: int) -> asyncpg.Record:
    row = await world.owner.fetchrow(
        "SELECT * FROM ledger_entry WHERE company_id = $1 AND index = $2", world.company_id, index
    )
    assert row is not None
    return row


async def test_an_entry_names_pseudonyms_and_opens_for_its_subject(world: World) -> None:
    member_id = await enrolled(world)

    index = await withdraw(world, member_id)

    row = await entry_at(world, index)
    assert row["subject_id"] == row["actor_id"]
    assert row["subject_id"] not in {None, member_id}
    assert row["facts"] == '{"epoch":4}'
    assert b"location" not in row["detail_sealed"]
    async with db.tenant(world.pool, world.company_id) as conn:
        about = await service.entries_about(conn, world.company_id, member_id, limit=10)
        later = await service.entries_about(
            conn, world.company_id, member_id, after=index, limit=10
        )
    opened = await open_details(world.vault, world.company_id, member_id, about)
    assert [json.loads(one or b"") for one in opened] == [DETAIL]
    assert later == []


async def test_a_withdrawal_is_written_while_the_key_database_is_down(
    world: World, databases: Databases, kek_file: Path
) -> None:
    member_id = await enrolled(world)
    async with db.pool(databases.keys, role=ROLE_KEYS) as keys_pool:
        vault = await open_vault(keys_pool, load(kek_file), NOW)
    with pytest.raises(asyncpg.InterfaceError):
        await vault.key(world.company_id, member_id, Category.LEDGER, at=NOW)

    index = await withdraw(world, member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        signed = await service.checkpoint(conn, vault, world.company_id, NOW)

    assert (await entry_at(world, index))["detail_sealed"] is not None
    assert signed is not None


async def test_who_is_not_enrolled_yet_withdraws_all_the_same(world: World) -> None:
    member_id = world.driver.member_id

    first = await withdraw(world, member_id)
    enrolled_now = await service.enrol_missing(world.pool, world.vault, world.company_id, NOW)
    second = await withdraw(world, member_id)

    before, after = await entry_at(world, first), await entry_at(world, second)
    assert before["detail_sealed"] is None
    assert json.loads(before["facts"]) == {"detail": "no_key", "epoch": 4}
    assert enrolled_now == 1
    assert after["detail_sealed"] is not None
    assert after["subject_id"] == before["subject_id"]
    assert await service.enrol_missing(world.pool, world.vault, world.company_id, NOW) == 0


async def test_a_new_member_is_enrolled_and_only_once(world: World) -> None:
    new = NewMember(name="A", role=Role.DRIVER, locale=Locale.KK, phone="+77015550123")
    async with db.tenant(world.pool, world.company_id) as conn:
        profile, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)
    row = await subject(world, profile.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.enrol(conn, world.vault, world.company_id, profile.member_id, NOW)

    assert row is not None
    assert len(row["public_key"]) == 32
    assert await subject(world, profile.member_id) == row


async def subject(world: World, member_id: UUID) -> asyncpg.Record | None:
    return await world.owner.fetchrow(
        "SELECT * FROM ledger_subject WHERE member_id = $1", member_id
    )


async def test_after_an_erasure_entries_point_to_nobody_and_open_for_nobody(
    world: World,
) -> None:
    member_id = await enrolled(world)
    index = await withdraw(world, member_id)
    before = await entry_at(world, index)
    await begin_erasing(world, member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        erased = await service.erase(conn, world.company_id, member_id)
        again = await service.erase(conn, world.company_id, member_id)
        await conn.execute("DELETE FROM member WHERE member_id = $1", member_id)
    await world.vault.destroy(world.company_id, member_id, NOW)

    assert (erased, again) == (1, 0)
    assert await entry_at(world, index) == before
    with pytest.raises(SubjectErased):
        await open_details(world.vault, world.company_id, member_id, [])
    later = await withdraw(world, member_id)  # what still names them does not bring them back
    row = await entry_at(world, later)
    assert (row["subject_id"], row["actor_id"], row["detail_sealed"]) == (None, None, None)
    assert await subject(world, member_id) is None


async def test_an_entry_is_there_only_if_its_act_is(world: World) -> None:
    member_id = await enrolled(world)
    async with world.pool.acquire() as conn:
        act = conn.transaction()
        await act.start()
        await db.enter(conn, world.company_id)
        place = await service.append(
            conn, world.company_id, Act.CONSENT_GIVEN, actor=SYSTEM, subject_id=member_id, now=NOW
        )
        await act.rollback()

    assert place.index == 1
    assert await withdraw(world, member_id) == 1


async def test_a_detail_needs_somebody_to_open_it(world: World) -> None:
    with pytest.raises(ValueError, match="somebody"):
        async with db.tenant(world.pool, world.company_id) as conn:
            await service.append(
                conn,
                world.company_id,
                Act.EDITION_PUBLISHED,
                actor=SYSTEM,
                subject_id=None,
                detail={},
                now=NOW,
            )


@pytest.mark.proves("cargotechservice:3.1")
@pytest.mark.parametrize("table", ["ledger_entry", "ledger_checkpoint", "location_read"])
@pytest.mark.parametrize("act", ["UPDATE {} SET company_id = company_id", "DELETE FROM {}"])
async def test_the_application_can_only_add(world: World, table: str, act: str) -> None:
    await build(world, entries=16)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.tenant(world.pool, world.company_id) as conn:
            await conn.execute(act.format(table))


async def test_twenty_at_once_give_a_chain_without_a_gap(world: World) -> None:
    member_id = await enrolled(world)

    indexes = await asyncio.gather(*(withdraw(world, member_id) for _ in range(20)))

    assert sorted(indexes) == list(range(1, 21))
    kept = await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE company_id = $1", world.company_id
    )
    assert kept == 20


async def test_companies_do_not_wait_for_each_other(world: World) -> None:
    other = await bare_company(world.vault, world.owner)
    stranger = await add_member(world.vault, world.pool, other, role="driver")
    member_id = await enrolled(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.append(
            conn,
            world.company_id,
            Act.CONSENT_GIVEN,
            actor=SYSTEM,
            subject_id=member_id,
            now=NOW,
        )
        async with asyncio.timeout(5):
            index = await withdraw(world, stranger, company_id=other)

    assert index == 1


async def test_a_receipt_carries_how_its_entry_leads_to_a_signature(world: World) -> None:
    chain = await build(world)
    keys = world.vault.public_keys()

    for index in range(1, chain.last + 1):
        async with db.tenant(world.pool, chain.company_id, readonly=True) as conn:
            shown = await service.place_of(conn, chain.company_id, index)
        if index > max(CHECKPOINTS):
            assert shown is None
            continue
        assert shown is not None
        assert shown.checkpoint.index == min(one for one in CHECKPOINTS if one >= index)
        assert shown.holds(keys)
    async with db.tenant(world.pool, chain.company_id) as conn:
        await service.checkpoint(conn, world.vault, chain.company_id, NOW)
        shown = await service.place_of(conn, chain.company_id, chain.last)
        nothing = await service.place_of(conn, chain.company_id, chain.last + 1)
    assert shown is not None
    assert (shown.later, shown.holds(keys), nothing) == ((), True, None)


async def test_checkpoints_are_made_when_due_and_witnessed(world: World) -> None:
    member_id = await enrolled(world)

    async def kept(minutes: int) -> tuple[int, int | None]:
        at = NOW + timedelta(minutes=minutes)
        await service.keep_checkpoint(world.pool, world.vault, world.company_id, at)
        count = await world.owner.fetchval(
            "SELECT count(*) FROM ledger_checkpoint WHERE company_id = $1", world.company_id
        )
        witness = await world.vault.witness(world.company_id)
        return count, None if witness is None else witness.index

    assert await kept(0) == (0, None)
    await withdraw(world, member_id)
    assert await kept(0) == (1, 1)
    await withdraw(world, member_id)
    assert await kept(9) == (1, 1)
    assert await kept(10) == (2, 2)
    assert await kept(60) == (2, 2)


async def test_many_new_entries_do_not_wait_for_their_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHECKPOINT_ENTRIES_MAX", 3)
    member_id = await enrolled(world)
    await withdraw(world, member_id)
    await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)
    for _ in range(3):
        await withdraw(world, member_id)

    await service.keep_checkpoint(world.pool, world.vault, world.company_id, NOW)

    witness = await world.vault.witness(world.company_id)
    assert witness is not None
    assert witness.index == 4


async def test_an_api_token_acts_under_its_own_id(world: World) -> None:
    token_id = uuid7()
    member_id = await enrolled(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        place = await service.append(
            conn,
            world.company_id,
            Act.MEMBER_UNBLOCKED,
            actor=Actor(kind=ActorKind.API_TOKEN, reference_id=token_id),
            subject_id=member_id,
            now=NOW,
        )

    assert (await entry_at(world, place.index))["actor_id"] == token_id


async def test_the_ledger_of_another_company_is_not_there(world: World, app_pool: Pool) -> None:
    await append_some(
        app_pool,
        world.company_id,
        driver_id=await enrolled(world),
        dispatcher_id=await enrolled(world, "dispatcher"),
        number=1,
    )
    other = await bare_company(world.vault, world.owner)

    async with db.tenant(app_pool, other) as conn:
        for table in ("ledger_entry", "ledger_head", "ledger_subject"):
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608 - our own names
