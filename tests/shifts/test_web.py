"""The endpoints of shifts: the driver's own, and the staff's one."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession

from server.gate.model import GateItem
from server.shifts.web import ENDPOINTS
from tests.consent.acts import call
from tests.consent.people import ALL, new_driver
from tests.http import Clock, bearer, serve
from tests.world import NOW, SHIFT_STARTED, World

DRIVERS_OWN = [
    ("GET", "/v1/me/shift"),
    ("POST", "/v1/me/shift/start"),
    ("POST", "/v1/me/shift/pause"),
    ("POST", "/v1/me/shift/resume"),
    ("POST", "/v1/me/shift/end"),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, clock=clock) as client:
        yield client


@pytest.mark.parametrize("who", ["dispatcher", "main_user", "device"])
@pytest.mark.parametrize(("method", "path"), DRIVERS_OWN)
async def test_only_the_driver_in_person_works(
    world: World, client: ClientSession, who: str, method: str, path: str
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    caller = driver.device_token if who == "device" else await world.session(who)

    assert (await call(client, caller, method, path))[0] == 403


async def test_a_shift_goes_on_pauses_resumes_and_ends(
    world: World, client: ClientSession, clock: Clock
) -> None:
    token = await world.driver_session(await new_driver(world, *ALL))
    off = {"state": "off", "started_at": None, "ends_by": None}
    running = {"started_at": "2026-11-22T12:00:00Z", "ends_by": "2026-11-23T02:00:00Z"}
    assert await call(client, token, "GET", "/v1/me/shift") == (200, off)

    for act, state in (("start", "on"), ("pause", "paused"), ("pause", "paused"), ("resume", "on")):
        answer = await call(client, token, "POST", f"/v1/me/shift/{act}")
        assert answer == (200, {"state": state, **running})
        clock.at += timedelta(minutes=1)
        assert await call(client, token, "GET", "/v1/me/shift") == answer
    for _ in range(2):
        assert await call(client, token, "POST", "/v1/me/shift/end") == (200, off)

    status, problem = await call(client, token, "POST", "/v1/me/shift/resume")
    assert (status, problem["code"]) == (409, "shift-act-refused")


async def test_a_shift_that_ran_its_full_length_reads_as_off(
    world: World, client: ClientSession, clock: Clock
) -> None:
    token = await world.driver_session(await new_driver(world, *ALL, on_shift=True))

    clock.at = SHIFT_STARTED + timedelta(hours=14)

    assert (await call(client, token, "GET", "/v1/me/shift"))[1]["state"] == "off"


async def test_a_shift_without_consent_is_refused_in_plain_words(
    world: World, client: ClientSession
) -> None:
    token = await world.driver_session(await new_driver(world, GateItem.LOCATION))

    status, problem = await call(client, token, "POST", "/v1/me/shift/start")

    assert (status, problem["code"]) == (409, "consent-needed")
    assert "dispatch_tracking" in problem["detail"]


@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_the_staff_may_end_a_shift_and_nothing_more(
    world: World, client: ClientSession, role: str
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    staff = await world.session(role)

    for _ in range(2):
        status, shift = await call(
            client, staff, "POST", f"/v1/drivers/{driver.member_id}/shift/end"
        )
        assert (status, shift["state"]) == (200, "off")

    row = await world.owner.fetchrow(
        "SELECT ended_at, ended_by FROM shift WHERE driver_id = $1", driver.member_id
    )
    assert tuple(row or ()) == (NOW, role)
    for act in ("start", "pause", "resume"):
        answer = await client.post(
            f"/v1/drivers/{driver.member_id}/shift/{act}", headers=bearer(staff)
        )
        assert answer.status == 404


async def test_a_driver_does_not_end_anybody_elses_shift(
    world: World, client: ClientSession
) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    other = await world.driver_session(await new_driver(world, *ALL))

    answer = await call(client, other, "POST", f"/v1/drivers/{driver.member_id}/shift/end")

    assert answer[0] == 403
