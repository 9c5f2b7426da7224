"""Who left, and who lost a phone, after a backup: restoring it gives nothing of that back."""

from collections.abc import Awaitable, Callable

import pytest

from server.kit.db import Connection
from server.life import service as life
from tests.backups.conftest import Backups, Restored
from tests.backups.test_not_undone import (
    MAIN_USER,
    Act,
    Owner,
    gone_through,
    nothing,
    still_active,
    token_works,
)
from tests.world import NOW, World


@pytest.fixture
def no_journal(keys_owner: Owner) -> Callable[[], Awaitable[object]]:
    return lambda: keys_owner.execute("DELETE FROM negative_act")


def leaving(world: World) -> Act:
    async def act(conn: Connection) -> None:
        driver = world.company_id, world.driver.member_id
        await life.off_board(conn, *driver, by=MAIN_USER, now=NOW)

    return act


async def test_an_off_boarding(backups: Backups) -> None:
    act = leaving(backups.world)

    assert not await gone_through(backups, act, still_active, nothing)


async def test_an_off_boarding_ends_the_phone_as_well(backups: Backups) -> None:
    assert not await gone_through(backups, leaving(backups.world), token_works, nothing)


async def test_control_an_off_boarding_that_is_not_journalled(
    backups: Backups, no_journal: Callable[[], Awaitable[object]]
) -> None:
    assert await gone_through(backups, leaving(backups.world), still_active, no_journal)


def loss(world: World) -> Act:
    async def act(conn: Connection) -> None:
        driver = world.company_id, world.driver.member_id
        await life.lose_phone(conn, *driver, by=MAIN_USER, now=NOW)

    return act


async def has_password(restored: Restored) -> bool:
    driver = restored.world.driver.member_id
    known = await restored.owner.fetchval(
        "SELECT password_hash FROM member WHERE member_id = $1", driver
    )
    return known is not None


@pytest.fixture
async def with_password(world: World) -> None:
    await world.owner.execute(
        "UPDATE member SET password_hash = 'hash' WHERE member_id = $1", world.driver.member_id
    )


async def test_a_lost_phone(backups: Backups) -> None:
    assert not await gone_through(backups, loss(backups.world), token_works, nothing)


@pytest.mark.usefixtures("with_password")
async def test_the_password_that_the_lost_phone_may_have_stored(backups: Backups) -> None:
    assert not await gone_through(backups, loss(backups.world), has_password, nothing)


async def test_control_a_lost_phone_that_is_not_journalled(
    backups: Backups, no_journal: Callable[[], Awaitable[object]]
) -> None:
    assert await gone_through(backups, loss(backups.world), token_works, no_journal)
