"""Each act of an erasure is told to the driver and is the last entry of the ledger."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession

from server.erasure.web import ENDPOINTS
from server.erasure_decisions.web import ENDPOINTS as DECISIONS
from server.kek.key_file import load
from server.kit.db import ROLE_KEYS, pool
from server.ledger import service as ledger
from server.vault.opening import open_vault
from tests.conftest import Databases
from tests.consent.people import ALL, new_driver
from tests.endpoints import CONSENT
from tests.erasure.calls import ask, call, caller_of, cancel, decide, read_gate, set_grace
from tests.http import serve
from tests.told import is_about, last_entry, told
from tests.world import NOW, Driver, World

AT = "2026-11-22T12:00:00Z"
GRACE = "2026-11-22T13:00:00Z"


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    await set_grace(world, 3600)
    async with serve(world, ENDPOINTS, DECISIONS, CONSENT) as client:
        yield client


@pytest.fixture
async def driver(world: World) -> Driver:
    driver = await new_driver(world, *ALL, on_shift=True)
    await ledger.enrol_missing(world.pool, world.vault, world.company_id, NOW)
    return driver


@pytest.mark.parametrize("by", ["driver", "dispatcher", "main_user"])
async def test_asking_is_told_and_written_down(
    world: World, client: ClientSession, driver: Driver, by: str
) -> None:
    await ask(client, await caller_of(world, driver, by), driver)

    grace = {} if by == "driver" else {"grace_until": GRACE}
    assert (await told(world, driver.member_id))[-1] == (
        "erasure_requested",
        {"by_role": by, "requested_at": AT, **grace},
    )
    state = "open" if by == "driver" else "grace"
    assert await last_entry(world) == ("erasure_requested", by, {"state": state})
    assert await is_about(world, driver.member_id)


async def test_the_reason_is_written_down_and_the_request_s_id_is_not_in_clear(
    world: World, client: ClientSession, driver: Driver
) -> None:
    status, asked = await call(
        client,
        await world.session("dispatcher"),
        "POST",
        "/v1/erasure-requests",
        {"driver_id": str(driver.member_id), "reason_code": "left_company"},
    )

    assert status == 201
    facts = {"state": "grace", "reason": "left_company"}
    assert await last_entry(world) == ("erasure_requested", "dispatcher", facts)
    # The request keeps the driver's id for good: beside the pseudonym it would tell whose it was.
    entries = await world.owner.fetch("SELECT e::text AS row FROM ledger_entry e")
    assert not any(asked["request_id"] in one["row"] for one in entries)


@pytest.mark.parametrize(
    ("outcome", "ground", "said"),
    [
        ("approve", None, {"outcome": "approve"}),
        (
            "refuse",
            "legal_claim",
            {"outcome": "refuse", "ground": "legal_claim", "categories": "track"},
        ),
    ],
)
async def test_a_decision_is_told_and_written_down(
    world: World,
    client: ClientSession,
    driver: Driver,
    outcome: str,
    ground: str | None,
    said: dict[str, str],
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)

    await decide(client, await world.session("dispatcher"), asked, outcome, ground)

    grace = {"grace_until": GRACE} if outcome == "approve" else {"until": "2026-12-12T12:00:00Z"}
    assert (await told(world, driver.member_id))[-1] == ("erasure_decided", {**said, **grace})
    assert await last_entry(world) == ("erasure_decided", "dispatcher", said)
    assert await is_about(world, driver.member_id)


async def test_calling_off_is_written_down(
    world: World, client: ClientSession, driver: Driver
) -> None:
    asked = await ask(client, await world.session("dispatcher"), driver)

    await cancel(client, await world.session("main_user"), asked)

    facts = {"requested_by": "dispatcher"}
    assert await last_entry(world) == ("erasure_cancelled", "main_user", facts)
    assert await is_about(world, driver.member_id)


async def test_an_act_that_is_refused_tells_and_writes_nothing(
    world: World, client: ClientSession, driver: Driver
) -> None:
    dispatcher = await world.session("dispatcher")
    asked = await ask(client, dispatcher, driver)
    before = await last_entry(world), await told(world, driver.member_id)

    assert (await decide(client, dispatcher, asked, "approve"))[0] == 409
    session = await world.driver_session(driver)
    assert (await cancel(client, session, asked))[0] == 403
    path = f"/v1/drivers/{driver.member_id}/unblock"
    assert (await call(client, dispatcher, "POST", path))[0] == 409

    assert (await last_entry(world), await told(world, driver.member_id)) == before


@pytest.mark.proves("gocargo:terms-sanctions")
@pytest.mark.parametrize("by", ["dispatcher", "main_user"])
async def test_blocking_and_unblocking_are_told_and_written_down(
    world: World, client: ClientSession, driver: Driver, by: str
) -> None:
    token, path = await world.session(by), f"/v1/drivers/{driver.member_id}"

    await call(client, token, "POST", f"{path}/block", {"reason_code": "misuse"})

    blocked = ("account_blocked", {"by_role": by, "lifting": "company", "reason": "misuse"})
    assert await told(world, driver.member_id) == [blocked]
    assert await last_entry(world) == ("member_blocked", by, {"reason": "misuse"})

    await call(client, token, "POST", f"{path}/unblock")

    unblocked = ("account_unblocked", {"by_role": by})
    assert await told(world, driver.member_id) == [blocked, unblocked]
    assert await last_entry(world) == ("member_unblocked", by, {})
    assert await is_about(world, driver.member_id)


@pytest.mark.parametrize("by", ["driver", "dispatcher"])
async def test_with_the_key_database_down_asking_still_closes_the_gate(
    world: World, driver: Driver, databases: Databases, kek_file: Path, by: str
) -> None:
    await set_grace(world, 3600)
    token, boss = await caller_of(world, driver, by), await world.session("main_user")
    async with pool(databases.keys, role=ROLE_KEYS) as keys:
        vault = await open_vault(keys, load(kek_file), NOW)
    # From here on no key can be had.
    async with serve(replace(world, vault=vault), ENDPOINTS, DECISIONS, CONSENT) as client:
        status, said = await call(
            client,
            token,
            "POST",
            "/v1/erasure-requests",
            {"driver_id": str(driver.member_id)},
        )
        # It is done; that no backup undoes it, the key database has not heard of yet.
        assert (status, said["code"]) == (503, "stop-unconfirmed")
        asked = {"request_id": await world.owner.fetchval("SELECT request_id FROM erasure_request")}

        found = await read_gate(world, driver)
        assert (found.is_consented, found.account_active) == (False, False)
        assert (await told(world, driver.member_id))[-1][0] == "erasure_requested"
        assert (await last_entry(world))[0] == "erasure_requested"
        if by == "driver":
            assert (await decide(client, boss, asked, "approve"))[0] == 503
            assert (await last_entry(world))[0] == "erasure_decided"
        assert (await cancel(client, boss, asked))[0] == 200
        assert (await last_entry(world))[0] == "erasure_cancelled"

        # The control: what does need a key is refused, so they were really away.
        assert (await call(client, boss, "GET", "/v1/drivers"))[0] == 503
