"""Blocking and unblocking a driver."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.erasure.web import ENDPOINTS as ERASURE
from server.log_in.web import logging_in
from tests.accounts.people import gate_of, state_of
from tests.endpoints import ACCOUNTS, CONSENT
from tests.http import bearer, serve
from tests.world import NOW, World


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(
        world, ACCOUNTS, CONSENT, ERASURE, prepare=lambda app: app.cleanup_ctx.append(logging_in)
    ) as opened:
        yield opened


async def test_blocking_stops_recording_and_leaves_the_driver_their_rights(
    client: ClientSession, world: World
) -> None:
    staff = await world.session("dispatcher")
    driver_id, token = str(world.driver.member_id), await world.driver_session()
    answer = await client.post(
        f"/v1/drivers/{driver_id}/block", json={"reason_code": "misuse"}, headers=bearer(staff)
    )
    blocked = await gate_of(world, driver_id)
    windows = await world.owner.fetch("SELECT closed_at FROM recording_window")

    assert await answer.json() == {"driver_id": driver_id, "state": "blocked"}
    assert not blocked.is_open
    assert not blocked.closing
    assert [row["closed_at"] for row in windows] == [NOW]
    assert (await client.get("/v1/me", headers=bearer(token))).status == 200

    answer = await client.post(f"/v1/drivers/{driver_id}/unblock", headers=bearer(staff))

    assert await answer.json() == {"driver_id": driver_id, "state": "active"}
    assert (await gate_of(world, driver_id)).is_open


async def test_a_lost_phone_ends_log_ins_and_devices(client: ClientSession, world: World) -> None:
    staff = await world.session("dispatcher")
    driver_id, token = world.driver.member_id, await world.driver_session()
    before = await gate_of(world, str(driver_id))
    await client.post(
        f"/v1/drivers/{driver_id}/block",
        json={"reason_code": "lost_phone"},
        headers=bearer(staff),
    )

    assert (await client.get("/v1/me", headers=bearer(token))).status == 401
    assert await world.owner.fetchval("SELECT revoked_at FROM device") == NOW
    after = await gate_of(world, str(driver_id))
    assert after.credential_epoch > before.credential_epoch


@pytest.mark.parametrize(
    ("state", "act", "status"),
    [
        ("invited", "block", 409),
        ("blocked", "block", 409),
        ("grace", "block", 409),
        ("active", "unblock", 409),
        ("invited", "unblock", 409),
        ("grace", "unblock", 409),
        ("erasing", "unblock", 409),
        ("blocked", "unblock", 200),
    ],
)
async def test_an_act_refused_changes_nothing(
    client: ClientSession, world: World, state: str, act: str, status: int
) -> None:
    driver_id = world.driver.member_id
    await world.owner.execute("UPDATE member SET state = $2 WHERE member_id = $1", driver_id, state)
    before = await gate_of(world, str(driver_id))
    body = {"json": {"reason_code": "other"}} if act == "block" else {}
    answer = await client.post(
        f"/v1/drivers/{driver_id}/{act}",
        headers=bearer(await world.session("dispatcher")),
        **body,  # type: ignore[arg-type]  # a body or none
    )

    assert answer.status == status
    assert status == 200 or (await gate_of(world, str(driver_id))) == before
    assert await state_of(world, driver_id) == ("active" if status == 200 else state)


@pytest.mark.proves("gocargo:terms-sanctions")
@pytest.mark.parametrize("body", [{}, {"reason_code": None}, {"reason_code": "because"}])
async def test_a_block_without_a_known_reason_blocks_nobody(
    client: ClientSession, world: World, body: dict[str, str | None]
) -> None:
    answer = await client.post(
        f"/v1/drivers/{world.driver.member_id}/block",
        json=body,
        headers=bearer(await world.session("main_user")),
    )

    assert answer.status == 422
    assert await state_of(world, world.driver.member_id) == "active"
