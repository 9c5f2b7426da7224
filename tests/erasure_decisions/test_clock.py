"""The clock of a request, walked with a moved clock: nothing silent, nothing past its date."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.credentials.model import MemberStateRefused
from server.erasure import saga
from server.erasure_decisions import clock as the_clock
from server.erasure_decisions import service
from server.kit import db
from tests.consent.people import ALL, new_driver
from tests.erasure.calls import account, ask, call, cancel, consent_states, decide
from tests.told import last_entry, told
from tests.world import NOW, Driver, World, add_member

# NOW is a Sunday, 17:00 in Almaty: three working days end as Wednesday does.
ANSWER_BY = datetime.fromisoformat("2026-11-25T19:00:00+00:00")
HALF = NOW + (ANSWER_BY - NOW) / 2
LAST_DAY = ANSWER_BY - timedelta(days=1)
MOMENT = timedelta(seconds=1)


@pytest.fixture
async def dispatcher_id(world: World) -> UUID:
    return await add_member(world.vault, world.pool, world.company_id, role="dispatcher")


@pytest.fixture
async def main_user_id(world: World) -> UUID:
    return await add_member(world.vault, world.pool, world.company_id, role="main_user")


async def tick(world: World, at: datetime) -> int:
    return await the_clock.run_due(world.pool, world.company_id, at)


async def reminders(world: World, member_id: UUID) -> int:
    kinds = [kind for kind, _ in await told(world, member_id)]
    return kinds.count("erasure_to_decide")


async def state(world: World, asked: Any) -> str:
    found: str = await world.owner.fetchval(
        "SELECT state FROM erasure_request WHERE request_id = $1", UUID(asked["request_id"])
    )
    return found


@pytest.mark.proves("relog-service:3.5a", "gocargo:questions")
async def test_the_answer_says_until_when_it_is_decided(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)

    asked = await ask(client, session, driver)

    assert asked["answer_by"] == "2026-11-25T19:00:00Z"
    path = f"/v1/erasure-requests/{asked['request_id']}"
    assert (await call(client, session, "GET", path))[1]["answer_by"] == asked["answer_by"]


async def test_a_request_that_is_decided_at_once_has_no_clock(
    world: World, client: ClientSession, driver: Driver
) -> None:
    asked = await ask(client, await world.session("dispatcher"), driver)

    assert asked.get("answer_by") is None
    assert await tick(world, ANSWER_BY + timedelta(days=30)) == 0


async def test_nothing_is_silent_and_nothing_is_told_twice(
    world: World, client: ClientSession, driver: Driver, dispatcher_id: UUID, main_user_id: UUID
) -> None:
    await ask(client, await world.driver_session(driver), driver)

    walked = []
    for at in (NOW, HALF - MOMENT, HALF, LAST_DAY - MOMENT, LAST_DAY, ANSWER_BY - MOMENT):
        for _ in range(2):
            assert await tick(world, at) == 0
        walked.append((await reminders(world, dispatcher_id), await reminders(world, main_user_id)))

    # At once, at half time, and the main user on the last working day.
    assert walked == [(1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (2, 2)]
    assert (await told(world, dispatcher_id))[-1][1] == {
        "driver": str(driver.member_id),
        "by_role": "driver",
        "answer_by": "2026-11-25T19:00:00Z",
        "outcome": "silence",
    }


async def test_without_a_dispatcher_the_main_user_is_reminded(
    world: World, client: ClientSession, driver: Driver, main_user_id: UUID
) -> None:
    await ask(client, await world.driver_session(driver), driver)

    await tick(world, HALF)

    assert await reminders(world, main_user_id) == 2


@pytest.mark.proves("gocargo:questions")
async def test_silence_approves_at_the_very_moment(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)

    assert await tick(world, ANSWER_BY - MOMENT) == 0
    assert await state(world, asked) == "open"
    assert await tick(world, ANSWER_BY) == 1
    assert await tick(world, ANSWER_BY) == 0

    path = f"/v1/erasure-requests/{asked['request_id']}"
    found = (await call(client, session, "GET", path))[1]
    assert (found["state"], found.get("decided_by_role")) == ("grace", None)
    assert found["decided_at"] == "2026-11-25T19:00:00Z"
    assert found["grace_until"] == "2026-11-25T20:00:00Z"
    assert await account(world, driver.member_id) == "grace"
    kind, said = (await told(world, driver.member_id))[-1]
    assert (kind, said["outcome"]) == ("erasure_decided", "silence")
    act, actor, facts = await last_entry(world)
    assert (act, actor) == ("erasure_decided", "system")
    assert (facts["outcome"], facts["by_clock"]) == ("approve", "silence")
    assert await consent_states(world, driver) == {"withdrawn"}


async def test_what_the_clock_approved_is_erased_after_its_grace(
    world: World, client: ClientSession, driver: Driver
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)
    await tick(world, ANSWER_BY)

    grace_over = ANSWER_BY + timedelta(hours=1)
    assert await saga.run_due(world.pool, world.vault, world.company_id, grace_over - MOMENT) == 0
    assert await saga.run_due(world.pool, world.vault, world.company_id, grace_over) == 1

    assert await state(world, asked) == "erased"


async def test_a_job_that_stood_still_tells_and_decides_when_it_comes_again(
    world: World, client: ClientSession, driver: Driver, dispatcher_id: UUID, main_user_id: UUID
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)

    assert await tick(world, ANSWER_BY + timedelta(days=9)) == 1

    assert await state(world, asked) == "grace"
    told_of = await reminders(world, dispatcher_id), await reminders(world, main_user_id)
    assert told_of == (2, 2)


@pytest.mark.parametrize("end", ["approve", "refuse", "cancel"])
async def test_what_was_answered_is_left_alone(
    world: World, client: ClientSession, driver: Driver, end: str
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)
    if end == "cancel":
        await cancel(client, session, asked)
    else:
        ground = "legal_claim" if end == "refuse" else None
        await decide(client, await world.session("dispatcher"), asked, end, ground)
    before = await state(world, asked)

    assert await tick(world, ANSWER_BY) == 0

    assert await state(world, asked) == before


async def test_a_decision_that_comes_between_wins(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)
    await cancel(client, session, asked)

    async with db.tenant(world.pool, world.company_id) as conn:
        decided = await service.fall_silent(
            conn, world.company_id, UUID(asked["request_id"]), now=ANSWER_BY
        )

    assert decided is None
    assert await state(world, asked) == "cancelled"


async def test_one_that_fails_does_not_hold_up_the_others(
    world: World, client: ClientSession, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = await ask(client, await world.driver_session(driver), driver)
    other = await new_driver(world, *ALL)
    fine = await ask(client, await world.driver_session(other), other)
    # A request of somebody whose account is in no state from which it could go on.
    await world.owner.execute(
        "UPDATE member SET state = 'erasing' WHERE member_id = $1", driver.member_id
    )

    assert await tick(world, ANSWER_BY) == 1
    assert (await state(world, stuck), await state(world, fine)) == ("open", "grace")

    await world.owner.execute(
        "UPDATE member SET state = 'active' WHERE member_id = $1", driver.member_id
    )
    assert await tick(world, ANSWER_BY + MOMENT) == 1
    assert await state(world, stuck) == "grace"
    # The control: nothing is caught there any more, and the second waits for the first.
    await world.owner.execute("UPDATE erasure_request SET state = 'open'")
    await world.owner.execute("UPDATE member SET state = 'erasing' WHERE state = 'grace'")
    monkeypatch.setattr(the_clock, "Exception", KeyboardInterrupt, raising=False)
    with pytest.raises(MemberStateRefused):
        await tick(world, ANSWER_BY)


async def test_a_request_without_a_clock_gets_its_whole_time(
    world: World, client: ClientSession, driver: Driver, dispatcher_id: UUID
) -> None:
    asked = await ask(client, await world.driver_session(driver), driver)
    await world.owner.execute("UPDATE erasure_request SET answer_by = NULL")
    monday = NOW + timedelta(days=15)

    assert await tick(world, monday) == 0

    answer_by = await world.owner.fetchval("SELECT answer_by FROM erasure_request")
    assert answer_by == monday + timedelta(days=3)
    assert await state(world, asked) == "open"
    assert await reminders(world, dispatcher_id) >= 1
    assert await tick(world, monday + timedelta(days=3)) == 1


@pytest.mark.proves("relog-service:3.5a")
async def test_the_company_chooses_the_time_and_what_waits_keeps_its_own(
    world: World, client: ClientSession, driver: Driver
) -> None:
    boss, dispatcher = await world.session("main_user"), await world.session("dispatcher")
    path = "/v1/erasure-settings"
    assert await call(client, dispatcher, "GET", path) == (200, {"answer_days": 3})
    waiting = await ask(client, await world.driver_session(driver), driver)

    assert (await call(client, dispatcher, "PUT", path, {"answer_days": 1}))[0] == 403
    for wrong in (0, 16, None):
        assert (await call(client, boss, "PUT", path, {"answer_days": wrong}))[0] == 422
    assert await call(client, boss, "PUT", path, {"answer_days": 1}) == (200, {"answer_days": 1})

    facts = {"answer_days": 1, "before": 3}
    assert await last_entry(world) == ("erasure_answer_days_set", "main_user", facts)
    other = await new_driver(world, *ALL)
    later = await ask(client, await world.driver_session(other), other)
    assert later["answer_by"] == "2026-11-23T19:00:00Z"
    assert waiting["answer_by"] == "2026-11-25T19:00:00Z"


async def test_the_driver_waives_the_grace_and_nobody_else_does(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session, dispatcher = await world.driver_session(driver), await world.session("dispatcher")
    asked = await ask(client, dispatcher, driver)
    path = f"/v1/erasure-requests/{asked['request_id']}/waive-grace"
    assert (await call(client, dispatcher, "POST", path))[0] == 403
    other = await world.driver_session(await new_driver(world, *ALL))
    assert (await call(client, other, "POST", path))[0] == 404

    status, found = await call(client, session, "POST", path)

    assert (status, found["state"], found["grace_until"]) == (
        200,
        "erasing",
        "2026-11-22T12:00:00Z",
    )
    assert (await last_entry(world))[0] == "erasure_grace_waived"
    assert await saga.run_due(world.pool, world.vault, world.company_id, NOW) == 1
    assert await state(world, asked) == "erased"


async def test_there_is_no_grace_to_waive_before_the_decision(
    world: World, client: ClientSession, driver: Driver
) -> None:
    session = await world.driver_session(driver)
    asked = await ask(client, session, driver)

    status, problem = await call(
        client, session, "POST", f"/v1/erasure-requests/{asked['request_id']}/waive-grace"
    )

    assert (status, problem["code"]) == (409, "erasure-act-refused")
