"""Requests that came past the API: recorded in the person's name, told, answered in time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit import db
from server.kit.wire import rfc3339
from server.person_requests import service
from server.person_requests.model import Kind, after_working_days
from server.person_requests.web import ENDPOINTS as REQUESTS
from tests.http import Clock, bearer, serve
from tests.told import last_entry, told
from tests.world import NOW, World, add_member, open_session

SAID = "Please send me everything you keep of me. Aidos, Abay street 1"
DAY = timedelta(days=1)
CAME = NOW - timedelta(hours=2)
"""A Sunday; three working days later it is Wednesday."""
DUE = CAME + 3 * DAY


@dataclass
class Stage:
    world: World
    client: ClientSession
    clock: Clock
    driver: str = field(repr=False)
    dispatcher: str = field(repr=False)
    dispatcher_id: Any
    boss_id: Any

    async def call(
        self, method: str, path: str, token: str, body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        async with self.client.request(method, path, headers=bearer(token), json=body) as answer:
            return answer.status, await answer.json()

    async def record(self, **changes: Any) -> tuple[int, Any]:
        body = {
            "driver_id": str(self.world.driver.member_id),
            "kind": "access",
            "channel": "letter",
            "received_at": rfc3339(CAME),
            "text": SAID,
            "evidence": "Red binder, 17",
        }
        return await self.call("POST", "/v1/person-requests", self.dispatcher, body | changes)

    async def answer(self, request_id: str) -> tuple[int, Any]:
        path = f"/v1/person-requests/{request_id}/answer"
        return await self.call("POST", path, self.dispatcher, {"text": "Sent to you by post."})

    async def mine(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("GET", "/v1/me/requests", self.driver))[1][
            "items"
        ]
        return found

    async def tell(self, at: datetime) -> int:
        async with db.tenant(self.world.pool, self.world.company_id) as conn:
            return await service.tell_due(conn, self.world.company_id, at)

    async def kinds_told(self, member_id: Any) -> list[str]:
        return [kind for kind, _ in await told(self.world, member_id)]


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    add = (world.vault, world.pool, world.company_id)
    dispatcher = await add_member(*add, role="dispatcher")
    boss = await add_member(*add, role="main_user", name="Boss")
    clock = Clock()
    async with serve(world, REQUESTS, clock=clock) as client:
        yield Stage(
            world=world,
            client=client,
            clock=clock,
            driver=await world.driver_session(),
            dispatcher=await open_session(world.pool, world.company_id, dispatcher),
            dispatcher_id=dispatcher,
            boss_id=boss,
        )


@pytest.mark.proves("gocargo:questions")
async def test_what_came_by_letter_is_recorded_and_the_person_is_told_and_sees_it(
    stage: Stage,
) -> None:
    status, shown = await stage.record()

    assert status == 201
    assert (shown["state"], shown["answer_by"]) == ("open", rfc3339(DUE))
    assert (shown["recorded_by"], shown["text"]) == ("Dana Dispatch", SAID)
    assert await stage.mine() == [shown]
    assert await told(stage.world, stage.world.driver.member_id) == [
        (
            "person_request_recorded",
            {
                "by": str(stage.dispatcher_id),
                "request": "access",
                "came_by": "letter",
                "received_at": rfc3339(CAME),
                "answer_by": rfc3339(DUE),
            },
        )
    ]
    # No key yet that its detail could be sealed to.
    facts = {"kind": "access", "channel": "letter", "detail": "no_key"}
    assert await last_entry(stage.world) == ("person_request_recorded", "dispatcher", facts)


async def test_it_is_answered_once_and_the_person_reads_it(stage: Stage) -> None:
    _, shown = await stage.record()
    status, answered = await stage.answer(shown["person_request_id"])

    assert (status, answered["state"]) == (200, "answered")
    assert answered["answered_by"] == "Dana Dispatch"
    assert (await stage.mine())[0]["answer"] == "Sent to you by post."
    kinds = await stage.kinds_told(stage.world.driver.member_id)
    assert kinds == ["person_request_recorded", "person_request_answered"]
    status, problem = await stage.answer(shown["person_request_id"])
    assert (status, problem["code"]) == (409, "person-request-answered")
    assert await stage.tell(DUE + DAY) == 0


async def test_what_was_asked_and_answered_is_sealed(stage: Stage) -> None:
    _, shown = await stage.record()
    await stage.answer(shown["person_request_id"])

    row = await stage.world.owner.fetchval("SELECT r::text FROM person_request r")

    for text in (SAID, "Red binder", "by post"):
        assert text not in row
        assert text.encode().hex() not in row


@pytest.mark.proves("relog-service:3.5a")
async def test_a_request_for_erasure_stops_tracking_and_waits_for_a_decision(
    stage: Stage,
) -> None:
    world = stage.world
    status, shown = await stage.record(kind="erasure", channel="email")

    assert (status, shown["answer_by"]) == (201, rfc3339(DUE))
    row = await world.owner.fetchrow("SELECT state, requested_by_role FROM erasure_request")
    assert row is not None
    assert tuple(row) == ("open", "driver")
    since = "SELECT location_since FROM gate WHERE driver_id = $1"
    assert await world.owner.fetchval(since, world.driver.member_id) is None
    status, problem = await stage.record(kind="erasure", channel="email")
    assert (status, problem["code"]) == (409, "erasure-under-way")
    assert len(await stage.mine()) == 1


async def test_the_clock_reminds_then_escalates_and_nothing_is_silent(stage: Stage) -> None:
    world = stage.world
    await stage.record()
    people = (stage.dispatcher_id, stage.boss_id, world.driver.member_id)
    seen = []
    second = timedelta(seconds=1)
    for at in (DUE - DAY - second, DUE - DAY, DUE - second, DUE, DUE + DAY):
        count = await stage.tell(at)
        seen.append((count, [len(await stage.kinds_told(one)) for one in people]))

    assert seen == [
        (0, [0, 0, 1]),
        (1, [1, 1, 1]),
        (0, [1, 1, 1]),
        (1, [1, 2, 2]),
        (0, [1, 2, 2]),
    ]
    assert (await stage.kinds_told(stage.boss_id))[-1] == "person_request_overdue"
    assert (await stage.kinds_told(world.driver.member_id))[-1] == "person_request_overdue"


async def test_what_came_long_ago_is_told_of_at_once(stage: Stage) -> None:
    await stage.record(received_at=rfc3339(NOW - 40 * DAY))

    assert await stage.tell(NOW) == 2
    assert (await stage.kinds_told(stage.boss_id)) == [
        "person_request_due",
        "person_request_overdue",
    ]


@pytest.mark.parametrize(
    "times",
    [
        {"received_at": rfc3339(NOW + timedelta(seconds=1))},
        {"received_at": rfc3339(NOW - 400 * DAY)},
        {"answer_by": rfc3339(CAME)},
        {"answer_by": rfc3339(CAME + 30 * DAY + timedelta(seconds=1))},
    ],
)
async def test_times_that_are_none(stage: Stage, times: dict[str, str]) -> None:
    status, problem = await stage.record(**times)

    assert (status, problem["code"]) == (422, "person-request-times-invalid")


async def test_the_staff_may_take_thirty_days_and_no_more(stage: Stage) -> None:
    until = rfc3339(CAME + 30 * DAY)

    assert (await stage.record(answer_by=until))[1]["answer_by"] == until


@pytest.mark.parametrize("whose", ["staff", "nobody", "erasing"])
@pytest.mark.parametrize("kind", [Kind.ACCESS, Kind.ERASURE])
async def test_a_person_who_is_not_there(stage: Stage, whose: str, kind: Kind) -> None:
    world = stage.world
    driver_id = {"staff": stage.boss_id, "nobody": world.company_id}.get(
        whose, world.driver.member_id
    )
    if whose == "erasing":
        await world.owner.execute("UPDATE member SET state = 'erasing' WHERE role = 'driver'")

    status, problem = await stage.record(driver_id=str(driver_id), kind=kind.value)

    assert (status, problem["code"]) == (404, "member-not-found")
    assert await world.owner.fetchval("SELECT count(*) FROM person_request") == 0


async def test_another_driver_and_another_company_see_nothing(stage: Stage) -> None:
    _, shown = await stage.record()
    status, problem = await stage.answer(str(stage.world.company_id))

    assert (status, problem["code"]) == (404, "person-request-not-found")
    _, listed = await stage.call("GET", "/v1/person-requests?state=open", stage.dispatcher)
    assert [one["person_request_id"] for one in listed["items"]] == [shown["person_request_id"]]
    _, none = await stage.call("GET", "/v1/person-requests?state=answered", stage.dispatcher)
    assert none["items"] == []


@pytest.mark.parametrize(
    ("came", "due"),
    [
        # Almaty is five hours ahead: Friday 20:00 UTC is Saturday there, and Tuesday Wednesday.
        (datetime(2026, 11, 20, 20, tzinfo=UTC), datetime(2026, 11, 24, 20, tzinfo=UTC)),
        (datetime(2026, 11, 20, 18, tzinfo=UTC), datetime(2026, 11, 25, 18, tzinfo=UTC)),
        (datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 26, 8, tzinfo=UTC)),
        (datetime(2026, 11, 26, 8, tzinfo=UTC), datetime(2026, 12, 1, 8, tzinfo=UTC)),
    ],
)
def test_three_working_days(came: datetime, due: datetime) -> None:
    assert after_working_days(came, 3, "Asia/Almaty") == due
