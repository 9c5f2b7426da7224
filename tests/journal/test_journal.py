"""What was taken away stands in the key database before it is answered, and no later than a job."""

import asyncpg
import pytest

from server.consent.web import ENDPOINTS as CONSENT
from server.credentials.web import ENDPOINTS as CREDENTIALS
from server.journal import service
from server.journal import web as journal_web
from server.journal.service import Journal
from server.kit import db
from server.kit.db import Pool
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act
from tests.http import bearer, serve
from tests.world import NOW, World

WITHDRAW = "/v1/me/consents/location/withdraw"


async def journalled(keys_owner: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    rows = await keys_owner.fetch("SELECT act FROM negative_act ORDER BY index")
    return [row["act"] for row in rows]


async def withdraw(world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Withdraw over HTTP; return what was journalled when it was answered."""
    token = await world.driver_session()
    async with serve(world, CONSENT) as client:
        answer = await client.post(WITHDRAW, headers=bearer(token))
        assert answer.status == 200
        return await journalled(keys_owner)


async def test_a_withdrawal_stands_in_the_key_database_before_it_is_answered(
    world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert await withdraw(world, keys_owner) == [Act.CONSENT_WITHDRAWN]


async def test_control_without_the_confirmation_it_does_not(
    world: World,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(*_args: object) -> int:
        return 0

    monkeypatch.setattr(Journal, "copy", nothing)

    assert await withdraw(world, keys_owner) == []


async def test_what_was_revoked_is_named_and_nobody_is(
    world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    token = await world.driver_session()
    main_user = await world.session("main_user", stepped_up=True)
    async with serve(world, CREDENTIALS) as client:
        made = await (
            await client.post(
                "/v1/api-tokens",
                headers=bearer(main_user),
                json={"name": "1C", "scopes": ["drivers:read"]},
            )
        ).json()
        for path, caller in (
            (f"/v1/me/devices/{world.driver.device_id}", token),
            (f"/v1/api-tokens/{made['api_token_id']}", main_user),
        ):
            for _ in range(2):  # again is the same as once
                assert (await client.delete(path, headers=bearer(caller))).status == 204

    rows = await keys_owner.fetch("SELECT * FROM negative_act ORDER BY index")
    assert [(row["act"], str(row["reference_id"])) for row in rows] == [
        (Act.DEVICE_REVOKED, str(world.driver.device_id)),
        (Act.API_TOKEN_REVOKED, made["api_token_id"]),
    ]
    assert world.driver.member_id not in {row["subject_id"] for row in rows}


async def test_while_the_key_database_is_away_it_is_done_and_the_job_confirms_it(
    world: World,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = await world.driver_session()
    with monkeypatch.context() as patch:
        patch.setattr(journal_web, "CONFIRM_S_MAX", 0.2)
        async with keys_owner.transaction(), serve(world, CONSENT) as client:
            await keys_owner.execute("LOCK TABLE journal_place IN ACCESS EXCLUSIVE MODE")
            answer = await client.post(WITHDRAW, headers=bearer(token))
            assert answer.status == 503
            assert (await answer.json())["code"] == "stop-unconfirmed"
            since = "SELECT location_since FROM gate WHERE driver_id = $1"
            assert await world.owner.fetchval(since, world.driver.member_id) is None
    assert await journalled(keys_owner) == []

    copied = await Journal(world.pool, world.keys_pool).copy(world.company_id, NOW)

    assert copied == 1
    assert await journalled(keys_owner) == [Act.CONSENT_WITHDRAWN]


async def test_it_is_copied_in_pages_and_once(
    world: World, keys_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE", 2)
    async with db.tenant(world.pool, world.company_id) as conn:
        for _ in range(5):
            await ledger.append(
                conn,
                world.company_id,
                Act.MEMBER_BLOCKED,
                actor=SYSTEM,
                subject_id=world.driver.member_id,
                now=NOW,
            )
        head = await ledger.head(conn, world.company_id)

    counts = [await Journal(world.pool, keys_pool).copy(world.company_id, NOW) for _ in range(2)]

    assert counts == [5, 0]
    assert await service.place(keys_pool, world.company_id) == head


async def test_each_company_sees_its_own_alone(world: World, keys_pool: Pool) -> None:
    await Journal(world.pool, keys_pool).copy(world.company_id, NOW)

    async with keys_pool.acquire() as conn, conn.transaction(readonly=True):
        assert await conn.fetch("SELECT 1 FROM negative_act") == []
    assert await service.companies(keys_pool) == [world.company_id]
