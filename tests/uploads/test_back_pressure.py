"""More than can be taken: refused early, told when to come again, at nobody else's cost."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import pytest

from server.deposits import committer as committers
from server.gate import service as gates
from server.kit import admission, db, tokens
from server.kit.admission import UNIT_BYTES
from server.kit.http_direct import AWAITED_BYTES_MAX
from server.uploads import service
from server.uploads.model import DEVICE_UNITS_MAX, UPLOAD_POSITIONS_MAX
from tests.conftest import Databases
from tests.http import bearer
from tests.uploading import Api, positions, uploading
from tests.uploads.raw_phone import numbered, raw_phone, request
from tests.world import NOW, Driver, World, add_driver

BUFFERED: Final = 26_000
"""Positions of three days, one every ten seconds."""
BROKEN: Final = b"broken"


async def post(api: Api, body: bytes, token: str) -> tuple[int, Any, dict[str, str]]:
    headers = bearer(token) | {"Content-Type": "application/json"}
    async with api.client.post("/v1/positions", data=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None), dict(answer.headers)


@pytest.fixture
def two_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device may upload twice, and then again in a hundred seconds."""
    monkeypatch.setattr(service, "DEVICE_UNITS_MAX", 2)
    monkeypatch.setattr(service, "DEVICE_UNITS_PS", 0.01)


@pytest.mark.proves("gocargo:use-of-the-site-load")
@pytest.mark.usefixtures("two_units")
async def test_a_device_that_comes_too_often_is_told_when_and_is_not_read(
    world: World, databases: Databases
) -> None:
    token = world.driver.device_token
    other = await add_driver(world.vault, world.pool, world.company_id)
    async with uploading(world, databases) as api:
        first = [(await post(api, numbered(number), token))[0] for number in range(2)]
        status, answer, headers = await post(api, BROKEN, token)
        of_another = await post(api, numbered(1), other.device_token)

    assert first == [200, 200]
    assert (status, answer["code"]) == (429, "too-many-uploads")
    assert 50 < answer["retry_after_s"] <= int(headers["Retry-After"]) <= 100
    assert of_another[0] == 200


@pytest.mark.usefixtures("two_units")
async def test_forged_tokens_take_from_nobodys_allowance(
    world: World, databases: Databases
) -> None:
    async with uploading(world, databases) as api:
        for _ in range(20):
            forged, _ = tokens.mint("jd", world.company_id)
            assert (await post(api, BROKEN, forged))[0] == 401
        found = [(await post(api, numbered(one), world.driver.device_token))[0] for one in (1, 2)]

    assert found == [200, 200]


@pytest.mark.usefixtures("two_units")
@pytest.mark.parametrize("who", ["a device", "a forger"])
async def test_who_goes_on_although_refused_is_slowed_down(
    world: World, databases: Databases, who: str
) -> None:
    forged, _ = tokens.mint("jd", world.company_id)
    token = forged if who == "a forger" else world.driver.device_token
    async with uploading(world, databases) as api, raw_phone(api.address) as phone:
        began_s = time.monotonic()
        await phone.send(request(token, numbered(1)) * 12)
        statuses = [(await phone.answer()).status for _ in range(12)]
        took_s = time.monotonic() - began_s

    assert statuses[2:] == [401 if who == "a forger" else 429] * 10
    assert took_s >= 10 * service.LATE_S


@pytest.mark.parametrize("at_once", [UPLOAD_POSITIONS_MAX, 1_000, 100])
async def test_a_phone_that_was_out_of_reach_for_three_days_is_not_held_up(
    api: Api, at_once: int
) -> None:
    statuses = []
    for first in range(0, BUFFERED, at_once):
        until = NOW - timedelta(seconds=first * 10)
        count = min(at_once, BUFFERED - first)
        sent = {
            "columns": {
                "recorded_at_ms": [
                    int(until.timestamp() * 1_000) - place * 10_000 for place in range(count)
                ],
                "lat": [51.1234567] * count,
                "lon": [71.1234567] * count,
                "accuracy_m": [12.5] * count,
                "speed_mps": [21.25] * count,
                "heading_deg": [271.5] * count,
                "altitude_m": [345.5] * count,
                "battery_pct": [87] * count,
            }
        }
        statuses.append((await api.post(sent))[0])

    assert set(statuses) == {200}


@pytest.mark.parametrize("at_once", [UPLOAD_POSITIONS_MAX, 100])
def test_three_days_written_at_their_longest_fit_the_allowance(at_once: int) -> None:
    longest = len(
        json.dumps(
            positions(
                1, accuracy_m=12.125, speed_mps=21.25, heading_deg=271.25, altitude_m=-345.5,
                battery_pct=100, source="fused", mock=False, app_state="background",
            )
        )
    )  # fmt: skip
    uploads = -(-BUFFERED // at_once)

    assert uploads * (1 + longest * at_once // UNIT_BYTES) <= DEVICE_UNITS_MAX


@asynccontextmanager
async def waiting_uploads(api: Api, driver: Driver, count: int) -> AsyncGenerator[list[int]]:
    """Let uploads of one driver wait for its gate while the block lasts; then their statuses."""
    found: list[int] = []
    world = api.world

    async def upload(number: int) -> None:
        found.append((await post(api, numbered(number), driver.device_token))[0])

    # Whose device this is, is known before: how long to find out is not what is tried here.
    assert (await post(api, numbered(1000), driver.device_token))[0] == 200
    async with asyncio.TaskGroup() as group, db.tenant(world.pool, world.company_id) as conn:
        await gates.lock(conn, world.company_id, driver.member_id)
        for number in range(count):
            group.create_task(upload(number))
        await asyncio.sleep(0.1)
        yield found


async def flooded(world: World, databases: Databases) -> tuple[int, int, int]:
    """Fill all the room that one company gets.

    Return the statuses of an unread upload of that company and of a good one of another, and how
    many of the flood were answered meanwhile.
    """
    other = await World.make(vault=world.vault, pool=world.pool, owner=world.owner)
    async with uploading(world, databases) as api:
        token = other.driver.device_token
        assert (await post(api, numbered(1), token))[0] == 200
        async with waiting_uploads(api, world.driver, 8) as found:
            refused, answer, headers = await post(api, BROKEN, world.driver.device_token)
            beside = await post(api, numbered(2), token)
            meanwhile = found.count(200)
            if refused == 503:
                assert answer["code"] == "uploads-busy"
                assert int(headers["Retry-After"]) >= answer["retry_after_s"] >= 1
        assert found.count(200) + found.count(503) == 8
    return refused, beside[0], meanwhile


@pytest.mark.proves("gocargo:use-of-the-site-load")
async def test_a_company_that_fills_its_room_leaves_some_to_the_others(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "UPLOADS_MAX", 8)

    assert await flooded(world, databases) == (503, 200, 0)


async def test_control_room_that_is_not_shared_is_taken_by_the_first(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Whole(admission.Room):
        def take(self, group: Any, size_bytes: int) -> bool:  # noqa: ARG002 - whosever it is
            if self._count_free <= 0:
                return False
            self._count_free -= 1
            return True

        def take_more(self, group: Any, more_bytes: int) -> bool:  # noqa: ARG002
            return True

        def give_back(self, group: Any, size_bytes: int) -> None:  # noqa: ARG002
            self._count_free += 1

    monkeypatch.setattr(service, "UPLOADS_MAX", 8)
    monkeypatch.setattr(service, "Room", Whole)

    assert await flooded(world, databases) == (503, 503, 0)


async def test_while_a_company_is_behind_its_uploads_are_refused_unread(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.upload(positions(1))
    monkeypatch.setattr(committers.Committer, "is_behind", lambda *_: True)

    status, answer, _ = await post(api, BROKEN, api.world.driver.device_token)

    assert (status, answer["code"]) == (503, "uploads-busy")


async def test_bodies_have_room_together(
    world: World, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BODIES_BYTES_MAX", 50_000)
    token = world.driver.device_token
    large = request(token, numbered(1) + b" " * AWAITED_BYTES_MAX)
    async with uploading(world, databases) as api, raw_phone(api.address) as slow:
        assert (await post(api, numbered(9), token))[0] == 200
        await slow.send(large[:-10])
        await asyncio.sleep(0.1)
        refused = await post(api, numbered(2) + b" " * AWAITED_BYTES_MAX, token)
        await slow.send(large[-10:])
        answer = await slow.answer()
        again = await post(api, numbered(2) + b" " * AWAITED_BYTES_MAX, token)

    assert (refused[0], answer.status, again[0]) == (503, 200, 200)
