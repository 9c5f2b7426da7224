"""Whoever is invited is told: by whom, until when, and what was entered about them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.accounts.model import INVITATION_LASTS
from server.kit.wire import rfc3339
from tests.accounts.people import EMAIL, accounts, add, join, new_driver, new_staff
from tests.http import bearer
from tests.told import told
from tests.world import NOW, World

AT = rfc3339(NOW)
EXPIRES_AT = rfc3339(NOW + INVITATION_LASTS)


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with accounts(world) as opened:
        yield opened


async def member(world: World, role: str) -> str:
    """Return the id of the only member with this role."""
    found = await world.owner.fetchval("SELECT member_id FROM member WHERE role = $1", role)
    return str(found)


@pytest.mark.proves(
    "relog-service:2.2a", "gocargo:what-we-collect-2", "kargo.az:collection-other-sources"
)
@pytest.mark.parametrize(
    ("logins", "fields"),
    [
        ({}, "name,language,phone"),
        ({"email": EMAIL}, "name,language,phone,email"),
    ],
)
async def test_a_driver_is_told_who_invited_them_and_what_was_entered(
    world: World, client: ClientSession, logins: dict[str, Any], fields: str
) -> None:
    token = await world.session("dispatcher")
    by = await member(world, "dispatcher")

    added = await add(client, "/v1/drivers", token, new_driver(**logins))

    assert await told(world, UUID(added["driver"]["driver_id"])) == [
        ("account_invited", {"by": by, "expires_at": EXPIRES_AT}),
        ("indirect_source", {"by": by, "fields": fields, "entered_at": AT}),
    ]


async def test_staff_are_told_as_well(world: World, client: ClientSession) -> None:
    token = await world.session("main_user", stepped_up=True)
    by = await member(world, "main_user")

    added = await add(client, "/v1/members", token, new_staff())

    assert await told(world, UUID(added["member"]["member_id"])) == [
        ("account_invited", {"by": by, "expires_at": EXPIRES_AT}),
        ("indirect_source", {"by": by, "fields": "name,language,email", "entered_at": AT}),
    ]


async def test_a_new_code_is_told_and_nothing_was_entered_with_it(
    world: World, client: ClientSession
) -> None:
    token = await world.session("dispatcher")
    added = await add(client, "/v1/drivers", token, new_driver())
    driver_id = added["driver"]["driver_id"]

    await add(client, f"/v1/drivers/{driver_id}/invitation", token, {})

    kinds = [kind for kind, _ in await told(world, UUID(driver_id))]
    assert kinds == ["account_invited", "indirect_source", "account_invited"]


async def test_an_invitation_that_is_refused_tells_nobody(
    world: World, client: ClientSession
) -> None:
    token = await world.session("dispatcher")
    joined = await join(client, token)
    before = await world.owner.fetchval("SELECT count(*) FROM notice")

    taken = await client.post("/v1/drivers", json=new_driver(), headers=bearer(token))
    path = f"/v1/drivers/{joined['driver']['driver_id']}/invitation"
    accepted = await client.post(path, headers=bearer(token))

    assert (taken.status, accepted.status) == (409, 409)
    assert await world.owner.fetchval("SELECT count(*) FROM notice") == before
