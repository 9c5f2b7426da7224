"""A damaged key costs whose it is: a list of people does not fail for one of them."""

from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from server.accounts import service as accounts
from server.kek.model import KeyDamaged
from server.kit import db
from server.vault import opening, store
from server.vault.model import Category, DataKey, SealedText
from server.vault.opening import renew_for_one
from tests.vault.test_many import Statements
from tests.world import NOW, World, add_member

SCHEMA = "test.text"


async def damage(
    world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]", member_id: UUID
) -> None:
    """Flip the last bit of every key of a member."""
    await keys_owner.execute(
        "UPDATE data_key SET wrapped = set_bit(wrapped, 8 * length(wrapped) - 1,"
        " 1 - get_bit(wrapped, 8 * length(wrapped) - 1)) WHERE subject_id = $1",
        member_id,
    )
    world.vault.forget(world.company_id, member_id)


@pytest.fixture
async def people(world: World) -> list[UUID]:
    return [
        await add_member(world.vault, world.pool, world.company_id, role="driver") for _ in range(3)
    ]


async def test_of_a_list_only_their_name_is_missing(
    world: World, people: list[UUID], keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def names() -> list[str]:
        for one in people:
            world.vault.forget(world.company_id, one)
        async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
            found = await accounts.names(conn, world.vault, world.company_id, people)
        return [found[one] for one in people]

    before = await names()
    assert all(before)
    await damage(world, keys_owner, people[1])

    with capture_logs() as logs:
        after = [await names() for _ in range(2)]

    assert after == [[before[0], "", before[2]]] * 2
    # Once in a process, with no name and no id of a person.
    assert logs == [
        {
            "event": "data_keys_damaged",
            "log_level": "error",
            "company": str(world.company_id),
            "count": 1,
        }
    ]


async def test_control_asked_for_strictly_all_of_them_fail(
    world: World, people: list[UUID], keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """As whatever does something for good asks: a damaged key is not a destroyed one."""
    keys = [await key_of(world, one) for one in people]
    texts = [
        SealedText(
            sealed=key.seal(b"text", row_id=one.bytes, schema=SCHEMA), row_id=one, schema=SCHEMA
        )
        for key, one in zip(keys, people, strict=True)
    ]
    await damage(world, keys_owner, people[1])
    for one in people:
        world.vault.forget(world.company_id, one)
    company_id, ids = world.company_id, [key.key_id for key in keys]

    with pytest.raises(KeyDamaged):
        await world.vault.keys(company_id, ids)
    with pytest.raises(KeyDamaged):
        await world.vault.open_texts(company_id, texts)
    assert (await world.vault.keys_of_many(company_id, ids)).keys() == {ids[0], ids[2]}
    opened = await world.vault.open_texts(company_id, texts, of_many=True)
    assert opened == ["text", None, "text"]


async def key_of(world: World, member_id: UUID) -> DataKey:
    return await world.vault.key(world.company_id, member_id, Category.IDENTITY, at=NOW)


async def test_for_those_who_are_not_found_the_keys_are_asked_once_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Statements("peppers", monkeypatch)

    for _ in range(50):
        await renew_for_one(world.vault)

    assert asked.count == 1


async def test_control_otherwise_each_of_them_asks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Statements("peppers", monkeypatch)

    for _ in range(50):
        await world.vault.renew()

    assert asked.count == 50
    assert asked is store.peppers


async def test_a_key_database_that_does_not_answer_is_not_waited_for(
    world: World,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "RENEWING_S_MAX", 0.05)
    async with keys_owner.transaction():
        await keys_owner.execute("LOCK TABLE pepper IN ACCESS EXCLUSIVE MODE")

        with capture_logs() as logs:
            await renew_for_one(world.vault)

    assert [one["event"] for one in logs] == ["vault_not_renewed"]
