"""While the pepper of the log-in index is exchanged, and after it, everybody can log in."""

from datetime import timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from server.accounts import service, store
from server.accounts.model import Locale, LoginTaken, NewMember
from server.accounts.sealing import reindex
from server.credentials.model import Role
from server.kek.key_file import load
from server.kek.model import KekUnusable
from server.kit import db
from server.vault.opening import insert_pepper, open_vault
from tests.world import NOW, World

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
EMAIL = "second@example.com"


async def found(world: World, email: str) -> list[UUID]:
    """Return who is found by an e-mail as a log-in finds them."""
    await world.vault.renew()
    hashes = world.vault.blind_indexes("email", email)
    async with world.pool.acquire() as conn:
        companies = await service.companies_of_login(conn, hashes, wanted=None, limit=8)
    members = []
    for company_id in companies:
        async with db.tenant(world.pool, company_id) as conn:
            members.append(await service.member_of_login(conn, company_id, hashes))
    return [one.member_id for one in members if one is not None]


async def exchange_pepper(world: World, keys_owner: Owner) -> None:
    """Make a newer pepper, as an exchange of keys does."""
    kek = world.vault._kek  # noqa: SLF001 - the one in force
    await insert_pepper(keys_owner, kek, NOW + timedelta(seconds=1))


async def join(world: World) -> UUID:
    new = NewMember(role=Role.DISPATCHER, name="Dana Dispatch", email=EMAIL, locale=Locale.EN)
    async with db.tenant(world.pool, world.company_id) as conn:
        profile, _ = await service.add_member(conn, world.vault, world.company_id, new, now=NOW)
    return profile.member_id


@pytest.fixture
async def member_id(world: World) -> UUID:
    return await join(world)


async def directory(world: World) -> set[bytes]:
    rows = await world.owner.fetch("SELECT login_hash FROM login_directory")
    return {row["login_hash"] for row in rows}


async def test_who_is_indexed_under_either_pepper_is_found(
    world: World, member_id: UUID, keys_owner: Owner
) -> None:
    before = await directory(world)
    await exchange_pepper(world, keys_owner)
    assert await found(world, EMAIL) == [member_id]

    assert await reindex(world.pool, world.vault, world.company_id) >= 1

    assert await found(world, EMAIL) == [member_id]
    after = await directory(world)
    assert after.isdisjoint(before)
    assert len(after) == len(before)
    await keys_owner.execute("DELETE FROM pepper WHERE created_at = $1", NOW)
    assert await found(world, EMAIL) == [member_id]
    assert len(world.vault.blind_indexes("email", EMAIL)) == 1
    assert await reindex(world.pool, world.vault, world.company_id) == 0


async def test_control_who_is_not_indexed_anew_is_found_no_more(
    world: World, member_id: UUID, keys_owner: Owner
) -> None:
    await exchange_pepper(world, keys_owner)
    assert await found(world, EMAIL) == [member_id]

    await keys_owner.execute("DELETE FROM pepper WHERE created_at = $1", NOW)

    assert await found(world, EMAIL) == []


async def test_a_login_cannot_be_taken_twice_while_there_are_two_peppers(
    world: World, member_id: UUID, keys_owner: Owner
) -> None:
    await exchange_pepper(world, keys_owner)

    with pytest.raises(LoginTaken):
        await join(world)
    assert await found(world, EMAIL) == [member_id]


@pytest.mark.usefixtures("member_id")
async def test_one_login_of_two_members_holds_nobody_up(
    world: World, keys_owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who joined in the same instant, each under another pepper."""
    await exchange_pepper(world, keys_owner)

    async def nobody(*_args: object) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(store, "member_of_login", nobody)
        other = await join(world)

    assert await reindex(world.pool, world.vault, world.company_id) == 0

    await keys_owner.execute("DELETE FROM pepper WHERE created_at = $1", NOW)
    assert await found(world, EMAIL) == [other]


@pytest.mark.parametrize("column", ["name_sealed", "email_sealed"])
async def test_a_damaged_member_holds_nobody_up(
    world: World, member_id: UUID, keys_owner: Owner, column: str
) -> None:
    new = NewMember(
        role=Role.DISPATCHER, name="Dina Damaged", email="third@example.com", locale=Locale.EN
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        damaged, _ = await service.add_member(conn, world.vault, world.company_id, new, now=NOW)
    await world.owner.execute(
        rf"UPDATE member SET {column} = overlay({column} placing '\x0000' from 40)"  # noqa: S608 - one of two
        " WHERE member_id = $1",
        damaged.member_id,
    )
    await exchange_pepper(world, keys_owner)

    with capture_logs() as logs:
        await world.vault.renew()
        await reindex(world.pool, world.vault, world.company_id)

    await keys_owner.execute("DELETE FROM pepper WHERE created_at = $1", NOW)
    assert await found(world, EMAIL) == [member_id]
    # Their name is for others to read: without it they log in.
    is_found = column == "name_sealed"
    assert (await found(world, "third@example.com") == [damaged.member_id]) is is_found
    assert [(one["event"], one["count"]) for one in logs] == (
        [] if is_found else [("members_damaged", 1)]
    )


async def test_a_damaged_key_holds_nobody_up(
    world: World, member_id: UUID, keys_owner: Owner
) -> None:
    await keys_owner.execute(
        r"UPDATE data_key SET wrapped = overlay(wrapped placing '\x0000' from 20)"
        " WHERE subject_id = $1",
        world.driver.member_id,
    )
    world.vault.forget(world.company_id, world.driver.member_id)
    await exchange_pepper(world, keys_owner)
    await world.vault.renew()

    await reindex(world.pool, world.vault, world.company_id)

    await keys_owner.execute("DELETE FROM pepper WHERE created_at = $1", NOW)
    assert await found(world, EMAIL) == [member_id]


@pytest.mark.usefixtures("member_id")
async def test_a_company_without_a_key_is_left_out(
    world: World, keys_owner: Owner, keys_pool: db.Pool, kek_file: Path
) -> None:
    await keys_owner.execute("DELETE FROM data_key")
    await keys_owner.execute("DELETE FROM subject")
    await keys_owner.execute("DELETE FROM company_key")
    vault = await open_vault(keys_pool, load(kek_file), NOW)

    with capture_logs() as logs:
        assert await reindex(world.pool, vault, world.company_id) == 0

    assert [one["event"] for one in logs] == ["members_damaged"]


async def test_while_the_kek_cannot_be_asked_nobody_is_left_out(
    world: World, keys_owner: Owner, keys_pool: db.Pool, kek_file: Path
) -> None:
    vault = await open_vault(keys_pool, load(kek_file), NOW)
    await join(world)
    await keys_owner.execute("UPDATE company_key SET kek_id = 'another!'")

    with pytest.raises(KekUnusable):
        await reindex(world.pool, vault, world.company_id)
