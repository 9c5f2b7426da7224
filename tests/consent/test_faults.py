"""Consents when something is down or two come at once: a withdrawal is true, or it is a 503."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentItem
from server.gate import service as gate
from server.kek.key_file import load
from server.kit import db
from server.kit.db import ROLE_KEYS, pool
from server.vault.opening import open_vault
from tests.conftest import Databases
from tests.consent.acts import call, consents, read_gate, records
from tests.consent.people import ALL, new_driver
from tests.consents import body
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import bearer, serve
from tests.stage import Stage, stage
from tests.world import NOW, World

DRIVERS: Final = 24
APART_S: Final = 0.05
WITHDRAW: Final = "/v1/me/consents/location/withdraw"


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


async def test_of_two_grants_at_once_one_is_recorded_and_the_other_refused(
    world: World, client: ClientSession
) -> None:
    for _ in range(5):
        driver = await new_driver(world)
        token = await world.driver_session(driver)
        answers = await asyncio.gather(
            *(call(client, token, "POST", "/v1/me/consents", body("location")) for _ in range(4))
        )

        assert Counter(status for status, _ in answers) == {201: 1, 409: 3}
        assert await records(world, driver) == 1
        assert (await read_gate(world, driver)).epoch == 2


async def test_a_grant_and_a_withdrawal_at_once_leave_gate_record_and_ledger_agreed(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world, *ALL)
    token = await world.driver_session(driver)
    for number in range(20):
        source = ["gps"] if number % 2 else ["gps", "wifi"]
        await asyncio.gather(
            call(client, token, "POST", "/v1/me/consents", body("location", sources=source)),
            call(client, token, "POST", WITHDRAW),
        )

        found = await consents(world, driver)
        cell = next(one for one in found.items if one.item is ConsentItem.LOCATION)
        locked = await read_gate(world, driver)
        assert (locked.location_since is not None) is cell.is_given
        assert cell.decision is not None
        assert cell.decision.epoch == locked.epoch
        act = await world.owner.fetchval(
            "SELECT act FROM ledger_entry WHERE company_id = $1 AND index = $2",
            world.company_id,
            cell.decision.ledger_index,
        )
        assert act == f"consent_{cell.state}"


@pytest.mark.proves("gocargo:accounts-administrator")
async def test_a_dispatcher_cannot_consent_in_a_driver_s_place(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world)
    for role in ("dispatcher", "main_user"):
        staff = await world.session(role)
        answer = await client.post(
            "/v1/me/consents",
            json={**body("location"), "driver_id": str(driver.member_id)},
            headers=bearer(staff),
        )
        assert answer.status == 403

    assert await records(world, driver) == 0


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("blocked", 409, "account-not-active"),
        ("grace", 409, "account-not-active"),
        ("erasing", 401, "not-authenticated"),
    ],
)
async def test_a_grant_for_a_blocked_or_erased_member_is_refused(
    world: World, client: ClientSession, state: str, status: int, code: str
) -> None:
    driver = await new_driver(world)
    token = await world.driver_session(driver)
    await world.owner.execute(
        "UPDATE member SET state = $2 WHERE member_id = $1", driver.member_id, state
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.set_account_active(conn, world.company_id, driver.member_id, active=False)

    for item in ConsentItem:
        answer = await call(client, token, "POST", "/v1/me/consents", body(item))
        assert (answer[0], answer[1]["code"]) == (status, code)

    assert await records(world, driver) == 0


async def test_with_the_key_database_down_a_withdrawal_still_closes_the_gate(
    world: World, databases: Databases, kek_file: Path
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    token = await world.driver_session(driver)
    async with pool(databases.keys, role=ROLE_KEYS) as keys:
        vault = await open_vault(keys, load(kek_file), NOW)
    # From here on no key can be had.
    async with serve(replace(world, vault=vault), ENDPOINTS) as client:
        status, said = await call(client, token, "POST", WITHDRAW)
        # It is done; that no backup undoes it, the key database has not heard of yet.
        assert (status, said["code"]) == (503, "stop-unconfirmed")
        assert not (await read_gate(world, driver)).is_consented
        _, page = await call(client, token, "GET", "/v1/me/consents/records")
        assert page["items"][-1]["state"] == "withdrawn"

        # The control: what does need a key is refused, so they were really away.
        path = f"/v1/me/consents/records/{page['items'][-1]['record_id']}/receipt"
        assert (await call(client, token, "GET", path))[0] == 503


async def test_a_withdrawal_while_postgresql_restarts_is_true_or_a_503() -> None:
    async with stage() as at:
        world = await World.make(vault=at.vault, pool=at.pool, owner=at.owner)
        drivers = [await new_driver(world, *ALL, on_shift=True) for _ in range(DRIVERS)]
        tokens = [await world.driver_session(one) for one in drivers]
        victim = await at.owner.fetchval("SELECT pg_backend_pid()")
        witness = await asyncpg.connect(at.main)
        async with serve(world, ENDPOINTS) as client:
            asked = [
                asyncio.create_task(withdrawn_after(client, token, APART_S * number))
                for number, token in enumerate(tokens)
            ]
            await asyncio.sleep(APART_S * DRIVERS / 3)
            # One process that dies takes all of PostgreSQL with it: it starts anew and recovers.
            os.kill(victim, signal.SIGKILL)
            answers = await asyncio.gather(*asked)
            await restarted(at, witness)

            assert set(answers) == {200, 503}
            for driver, token, status in zip(drivers, tokens, answers, strict=True):
                found = await until_it_answers(client, token)
                locked = await read_gate(world, driver)
                assert (locked.location_since is None) is (found == "withdrawn")
                assert found == "withdrawn" or status == 503
                assert (await call(client, token, "POST", WITHDRAW))[0] == 200
                assert not (await read_gate(world, driver)).is_consented


async def restarted(at: Stage, witness: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until every connection of before was ended, and new ones are let in."""
    async with asyncio.timeout(60):
        while not witness.is_closed():
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await witness.execute("SELECT")
            await asyncio.sleep(0.05)
        while True:
            with suppress(asyncpg.PostgresError, OSError):
                return await (await asyncpg.connect(at.main)).close()
            await asyncio.sleep(0.05)


async def withdrawn_after(client: ClientSession, token: str, delay_s: float) -> int:
    await asyncio.sleep(delay_s)
    return (await call(client, token, "POST", WITHDRAW))[0]


async def until_it_answers(client: ClientSession, token: str) -> str:
    """Return the state of location once the database is there again."""
    async with asyncio.timeout(60):
        while True:
            status, found = await call(client, token, "GET", "/v1/me/consents")
            if status == 200:
                return str(found["items"][0]["state"])
            assert status == 503
            await asyncio.sleep(0.05)
