"""Who is party to what a driver disputes does not decide about them alone."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.attestations import service as attestations
from server.attestations.model import How, Told
from server.gate import service as gate
from server.kit import db
from server.ledger.model import Actor, ActorKind
from server.person_requests import service as person_requests
from server.person_requests.model import CameBy, Kind, NewRequest
from server.policies.model import Document
from tests.erasure.calls import account, ask, decide, read_gate
from tests.erasure_decisions.test_clock import ANSWER_BY, state, tick
from tests.told import told
from tests.world import CONSENTED, NOW, Driver, World, add_member, open_session


@pytest.fixture
async def attestor(world: World, driver: Driver) -> str:
    """A dispatcher who says that the driver was told; return their session."""
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    said = Told(
        at=CONSENTED - timedelta(hours=1),
        how=How.IN_PERSON,
        editions=((Document.DRIVER_NOTICE, 1),),
    )
    by = Actor(kind=ActorKind.DISPATCHER, member_id=member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await attestations.attest(
            conn, world.company_id, driver.member_id, said, by=by, by_member=member_id, now=NOW
        )
    return await open_session(world.pool, world.company_id, member_id)


async def dispute(world: World, driver: Driver) -> None:
    key = (world.company_id, driver.member_id)
    async with gate.stopping(world.pool, *key, now=NOW) as conn:
        await attestations.dispute(conn, *key, now=NOW)


async def asked_by(world: World, asked: Any) -> UUID | None:
    found: UUID | None = await world.owner.fetchval(
        "SELECT asked_by FROM erasure_request WHERE request_id = $1", UUID(asked["request_id"])
    )
    return found


@pytest.mark.parametrize("outcome", ["approve", "refuse", "refuse_in_part"])
async def test_who_said_what_is_disputed_does_not_decide(
    world: World, client: ClientSession, driver: Driver, attestor: str, outcome: str
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)
    ground = None if outcome == "approve" else "legal_claim"
    await dispute(world, driver)

    status, problem = await decide(client, attestor, asked, outcome, ground)

    assert (status, problem["code"]) == (403, "second-person-needed")
    assert await state(world, asked) == "open"
    other = await world.session("dispatcher")
    assert (await decide(client, other, asked, outcome, ground))[0] == 200


async def test_control_without_a_dispute_whoever_attested_decides(
    world: World, client: ClientSession, driver: Driver, attestor: str
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)

    assert (await decide(client, attestor, asked, "approve"))[0] == 200


@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_what_the_staff_asks_under_a_dispute_waits_for_a_second_person(
    world: World, client: ClientSession, driver: Driver, attestor: str, role: str
) -> None:
    await dispute(world, driver)
    asker, second = await world.session(role), await world.session("main_user")

    asked = await ask(client, asker, driver)

    assert (asked["state"], asked["answer_by"]) == ("open", "2026-11-25T19:00:00Z")
    assert await account(world, driver.member_id) == "active"
    assert not (await read_gate(world, driver)).account_active
    assert await asked_by(world, asked) is not None
    for one in (asker, attestor):
        status, problem = await decide(client, one, asked, "approve")
        assert (status, problem["code"]) == (403, "second-person-needed")
    status, found = await decide(client, second, asked, "approve")
    assert (status, found["state"]) == (200, "grace")


async def test_silence_does_not_agree_to_what_the_staff_asks(
    world: World, client: ClientSession, driver: Driver, attestor: str
) -> None:
    await dispute(world, driver)
    asked = await ask(client, attestor, driver)

    assert await tick(world, ANSWER_BY - timedelta(seconds=1)) == 0
    assert await tick(world, ANSWER_BY) == 1

    assert await state(world, asked) == "cancelled"
    assert await asked_by(world, asked) is None
    assert (await told(world, driver.member_id))[-1][1]["outcome"] == "dropped"
    assert (await read_gate(world, driver)).account_active


@pytest.mark.usefixtures("attestor")
async def test_the_drivers_own_wish_is_not_held_up_by_their_dispute(
    world: World, client: ClientSession, driver: Driver
) -> None:
    await dispute(world, driver)
    asked = await ask(client, await world.driver_session(driver), driver)

    assert await tick(world, ANSWER_BY) == 1

    assert await state(world, asked) == "grace"


@pytest.mark.usefixtures("attestor")
@pytest.mark.parametrize("disputed", [True, False])
async def test_who_wrote_down_that_the_driver_asked_does_not_decide_under_a_dispute(
    world: World, client: ClientSession, driver: Driver, *, disputed: bool
) -> None:
    if disputed:
        await dispute(world, driver)
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    new = NewRequest(
        driver_id=driver.member_id,
        kind=Kind.ERASURE,
        came_by=CameBy.LETTER,
        received_at=NOW - timedelta(hours=1),
        said="Delete everything, please.",
    )
    by = Actor(kind=ActorKind.DISPATCHER, member_id=member_id)
    await person_requests.record(world.pool, world.vault, world.company_id, new, by=by, now=NOW)
    asked = {
        "request_id": str(await world.owner.fetchval("SELECT request_id FROM erasure_request"))
    }
    token = await open_session(world.pool, world.company_id, member_id)

    status, found = await decide(client, token, asked, "approve")

    # The control: where nothing is disputed, whoever wrote it down may.
    assert status == (403 if disputed else 200), found
    assert await state(world, asked) == ("open" if disputed else "grace")
