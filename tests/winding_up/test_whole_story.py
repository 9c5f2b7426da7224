"""A company closes, from the asking to the last driver erased, with a clock that is moved."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.closure import service as closure
from server.closure.model import DAYS_MAX, DAYS_MIN, AlreadyClosed, ClosingDaysInvalid
from server.closure.web import ENDPOINTS as CLOSURE
from server.credentials import service as credentials
from server.credentials.model import Scope
from server.devices.web import ENDPOINTS as DEVICES
from server.erasure import saga
from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure_decisions import clock as decisions
from server.holds import service as holds
from server.holds.model import Ground, HeldCategory, Reason
from server.holds.service import NewHold
from server.kit import db
from server.ledger.model import Actor, ActorKind
from server.life.web import ENDPOINTS as LIFE
from server.log_in.web import logging_in
from server.winding_up import service as winding_up
from tests.accounts.people import EMAIL, accept, add, join, log_in, new_driver, new_staff, token_of
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import Clock, bearer, serve
from tests.told import told
from tests.world import NOW, World, add_driver, step_up

OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)
DAY: Final = timedelta(days=1)
CLOSES: Final = NOW + DAYS_MIN * DAY
GRACE: Final = 7 * DAY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    await world.owner.execute("UPDATE company SET erasure_grace_s = $1", int(GRACE.total_seconds()))
    async with serve(
        world,
        *(ACCOUNTS, ATTESTATIONS, DEVICES, LIFE, CLOSURE, ERASURE),
        clock=clock,
        prepare=lambda app: app.cleanup_ctx.append(logging_in),
    ) as opened:
        yield opened


async def ask(world: World, *, days: int = DAYS_MIN, now: datetime = NOW) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await closure.ask(conn, world.company_id, days=days, by=OPERATOR, now=now)


async def each_minute(world: World, now: datetime) -> int:
    """Let the jobs that have to do with it come by; return how many drivers they erased."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await closure.remind(conn, world.company_id, now)
    await winding_up.run_due(world.pool, world.company_id, now)
    await decisions.run_due(world.pool, world.company_id, now)
    return await saga.run_due(world.pool, world.vault, world.company_id, now)


async def drivers(world: World) -> dict[str, int]:
    rows = await world.owner.fetch(
        "SELECT state, count(*) FROM member WHERE role = 'driver' GROUP BY state"
    )
    return {row["state"]: row["count"] for row in rows}


async def is_recorded(world: World) -> bool:
    """Tell whether a shift, a gate or a consent of anybody is open still."""
    found: bool = await world.owner.fetchval(
        "SELECT EXISTS (SELECT FROM shift WHERE ended_at IS NULL) OR EXISTS"
        " (SELECT FROM gate WHERE account_active OR location_since IS NOT NULL)"
    )
    return found


async def kinds(world: World, member_id: UUID) -> list[str]:
    return [kind for kind, _ in await told(world, member_id) if kind.startswith("company_")]


async def api_token(world: World) -> str:
    async with db.tenant(world.pool, world.company_id) as conn:
        _, text = await credentials.add_api_token(
            conn, world.company_id, name="1C", scopes=list(Scope), expires_at=None, now=NOW
        )
    return text


async def sent(
    client: ClientSession, token: str, path: str, body: object = None, *, method: str = "POST"
) -> tuple[int, Any]:
    answer = await client.request(method, path, json=body, headers=bearer(token))
    return answer.status, await answer.json()


async def test_the_whole_story(world: World, client: ClientSession, clock: Clock) -> None:
    boss = await world.session("main_user", stepped_up=True)
    staff = await add(client, "/v1/members", boss, new_staff())
    assert (await accept(client, staff["invitation"]["code"])).status == 200
    dispatcher = await token_of(await log_in(client, EMAIL))
    joined = await join(client, boss)
    integration = await api_token(world)
    people = [row["member_id"] for row in await world.owner.fetch("SELECT member_id FROM member")]

    # The day is said, and everybody told; from now on nobody new is invited.
    status, said = await sent(client, boss, "/v1/company/closing", {"in_days": DAYS_MIN})
    assert status == 201, said
    assert said["closes_at"] == "2026-12-22T12:00:00Z"
    for one in people:
        assert await kinds(world, one) == ["company_closing"]
    for path, body in (
        ("/v1/drivers", new_driver(phone="+7 701 765 43 21")),
        ("/v1/members", new_staff(email="new@aral.example")),
    ):
        status, refused = await sent(client, boss, path, body)
        assert (status, refused["code"]) == (409, "company-closing")

    # Until the week before nothing else happens; then everybody is reminded, once.
    await each_minute(world, CLOSES - 7 * DAY - timedelta(seconds=1))
    assert await kinds(world, people[0]) == ["company_closing"]
    for _ in range(2):
        await each_minute(world, CLOSES - 7 * DAY)
    for one in people:
        assert await kinds(world, one) == ["company_closing"] * 2
    await each_minute(world, CLOSES - timedelta(seconds=1))
    assert await drivers(world) == {"active": 2}
    assert await is_recorded(world)

    # On the day recording stops, consents and shifts end, and who acts for the company is nobody.
    clock.at = CLOSES
    await world.owner.execute("UPDATE session SET expires_at = $1, used_at = $1", CLOSES + DAY)
    assert (await sent(client, dispatcher, "/v1/company/closing", method="GET"))[0] == 200
    await each_minute(world, CLOSES)
    assert await drivers(world) == {"grace": 2}
    assert not await is_recorded(world)
    for token in (boss, dispatcher, integration):
        assert (await sent(client, token, "/v1/company/closing", method="GET"))[0] == 401
    # Equal answers: who was staff of it is like somebody it never knew.
    former = await log_in(client, EMAIL)
    nobody = await log_in(client, "nobody@aral.example")
    assert former.status == nobody.status == 401
    assert (await former.json()) == (await nobody.json())

    # A driver still logs in, to export; and is told until when.
    driver_id = UUID(joined["driver"]["driver_id"])
    assert await kinds(world, driver_id) == ["company_closing"] * 2 + ["company_closed"]
    assert (await told(world, driver_id))[-1][1]["grace_until"].startswith("2026-12-29")
    driver = await token_of(await log_in(client))
    status, found = await sent(client, driver, "/v1/erasure-requests", method="GET")
    assert (status, len(found["items"])) == (200, 1)
    assert found["items"][0]["reason_code"] == "company_closed"
    assert found["items"][0]["decided_by_role"] is None
    request = found["items"][0]["request_id"]
    cancel = f"/v1/erasure-requests/{request}/cancel"
    assert await code(client, driver, cancel) == (403, "erasure-not-yours")

    # When the grace is over they are erased, and again nothing is left to do.
    clock.at = CLOSES + GRACE
    assert await each_minute(world, CLOSES + GRACE - timedelta(seconds=1)) == 0
    assert await each_minute(world, CLOSES + GRACE) == 2
    assert await drivers(world) == {}
    assert (await log_in(client)).status == 401
    before = await digest(world)
    await each_minute(world, CLOSES + GRACE + DAY)
    assert await digest(world) == before


async def code(client: ClientSession, token: str, path: str) -> tuple[int, str]:
    status, said = await sent(client, token, path)
    return status, said["code"]


async def digest(world: World) -> list[str]:
    found = []
    for table in ("member", "erasure_request", "company_closing", "notice", "ledger_entry"):
        rows = await world.owner.fetch(f"SELECT t::text AS told FROM {table} t ORDER BY 1")  # noqa: S608
        found += [row["told"] for row in rows]
    return found


async def test_a_main_user_keeps_open_what_the_operator_would_close(
    world: World, client: ClientSession
) -> None:
    boss = await world.session("main_user")
    await ask(world)

    status, _ = await sent(client, boss, "/v1/company/closing/keep-open")

    assert status == 200
    assert await code(client, boss, "/v1/company/closing/keep-open") == (404, "closing-not-found")
    driver = world.driver.member_id
    assert await kinds(world, driver) == ["company_closing", "company_stays"]
    await each_minute(world, CLOSES + DAY)
    assert await drivers(world) == {"active": 1}
    await add(client, "/v1/drivers", boss, new_driver())  # and people are invited again


async def test_who_may_say_that_a_company_closes(world: World, client: ClientSession) -> None:
    path, body = "/v1/company/closing", {"in_days": DAYS_MIN}
    for token in (
        await world.session("dispatcher", stepped_up=True),
        await world.driver_session(),
        await api_token(world),
    ):
        assert (await sent(client, token, path, body))[0] == 403
        assert (await sent(client, token, f"{path}/keep-open"))[0] == 403
    boss = await world.session("main_user")
    status, said = await sent(client, boss, path, body)
    assert (status, said["code"]) == (403, "step-up-needed")
    await step_up(world.pool, boss)
    for days in (DAYS_MIN - 1, DAYS_MAX + 1):
        assert (await sent(client, boss, path, {"in_days": days}))[0] == 422
        with pytest.raises(ClosingDaysInvalid):
            await ask(world, days=days)
    assert (await sent(client, boss, path, method="GET"))[0] == 404
    assert (await sent(client, boss, path, body))[0] == 201
    status, said = await sent(client, boss, path, body)
    assert (status, said["code"]) == (409, "closing-asked")
    assert (await sent(client, await world.driver_session(), path, method="GET"))[0] == 200


async def test_what_has_closed_stays_closed(world: World) -> None:
    await ask(world)
    await winding_up.run_due(world.pool, world.company_id, CLOSES)

    with pytest.raises(AlreadyClosed):
        async with db.tenant(world.pool, world.company_id) as conn:
            await closure.keep_open(conn, world.company_id, by=OPERATOR, now=CLOSES)


class Crash(Exception):
    """Ends the work at one place."""


async def test_a_crash_at_each_place_only_delays(world: World) -> None:
    await world.session("main_user")
    await add_driver(world.vault, world.pool, world.company_id, name="Second")
    await ask(world)
    for at in ("ended", "closed", "driver"):

        def crash(place: str, at: str = at) -> None:
            if place == at:
                raise Crash

        with pytest.raises(Crash):
            await winding_up.run_due(world.pool, world.company_id, CLOSES, failpoint=crash)
    await winding_up.run_due(world.pool, world.company_id, CLOSES)

    assert await drivers(world) == {"erasing": 2}  # the company has no grace
    closed = "SELECT count(*) FROM ledger_entry WHERE act = 'company_closed'"
    assert await world.owner.fetchval(closed) == 1
    asked = "SELECT count(*) FROM ledger_entry WHERE act = 'erasure_requested'"
    assert await world.owner.fetchval(asked) == 2


async def test_what_is_held_stays_until_the_hold_ends(world: World) -> None:
    driver_id, until = world.driver.member_id, CLOSES + 90 * DAY
    hold = NewHold(
        category=HeldCategory.TRACK, reason=Reason(ground=Ground.LEGAL_CLAIM, until=until)
    )
    by = Actor(kind=ActorKind.MAIN_USER)
    async with db.tenant(world.pool, world.company_id) as conn:
        await holds.ask(conn, world.company_id, driver_id, hold, by=by, now=NOW)
    await ask(world)

    assert await each_minute(world, CLOSES) == 0
    assert await world.owner.fetchval("SELECT state FROM erasure_request") == "held"
    assert await each_minute(world, until + DAY) == 1
    assert await drivers(world) == {}
