"""What is said to one worker holds in the other at once: they share nothing but PostgreSQL."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import asyncpg
import psutil
import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, StreamReader

from server import databases as databases_of
from server.demo import company as companies
from server.demo.api import Api, ApiRefused
from server.demo.company import DemoCompany, DemoDriver
from server.kit.web import utc_now
from server.kit.wire import rfc3339
from server.log_in.attempts import FREE_ATTEMPTS
from server.rights.model import UNKNOWN_IDS_MAX
from tests.conftest import Databases
from tests.http import bearer
from tests.running import settings as settings_of
from tests.workers import STOP_S_MAX, Installation, fresh_databases, serving

AGREED: Final = {"location", "dispatch_tracking", "plan_fact"}
SHOWN_S_MAX: Final = 1.0
"""From the answer to an upload to the position on a screen."""
SLACK_S: Final = 0.5
"""Of this machine, which runs other tests beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """Two workers with a connection to each, and a company in which all drivers agreed."""

    home: Path
    databases: Databases
    installation: Installation
    company: DemoCompany
    first: Api
    second: Api

    async def dispatcher(self, through: Api) -> Api:
        return await through.log_in(self.company.dispatcher_login, self.company.dispatcher_password)

    async def upload(self, through: Api, driver: DemoDriver) -> Any:
        phone = through.acting_with(driver.device_token)
        position = {"recorded_at": rfc3339(utc_now()), "lat": 43.2, "lon": 76.9}
        return await phone.post("/v1/positions", {"positions": [position]})

    @asynccontextmanager
    async def stream(self, worker: str, token: str) -> AsyncGenerator["Stream"]:
        async with (
            self.installation.http(worker) as http,
            http.get("/v1/stream", headers=bearer(token)) as answer,
        ):
            stream = Stream()
            reading = asyncio.create_task(stream.read(answer.content))
            try:
                await stream.until("hello")
                yield stream
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


class Stream:
    """What a screen was sent."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, Any]] = []
        self.ended = asyncio.Event()
        self._some = asyncio.Event()

    async def read(self, content: StreamReader) -> None:
        name = ""
        try:
            async for line in content:
                field, _, value = line.decode().strip().partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self.events.append((monotonic(), name, json.loads(value)))
                    self._some.set()
        finally:
            self.ended.set()

    async def until(self, name: str, driver_id: str | None = None) -> float:
        """Return when such an event came."""
        async with asyncio.timeout(10):
            while True:
                for at, found, data in self.events:
                    told = {
                        data.get("driver_id"),
                        *(one["driver_id"] for one in data.get("drivers", ())),
                    }
                    if found == name and (driver_id is None or driver_id in told):
                        return at
                self._some.clear()
                await self._some.wait()

    def positions_of(self, driver_id: str) -> int:
        return sum(
            one["driver_id"] == driver_id
            for _, name, data in self.events
            if name == "pos"
            for one in data["drivers"]
        )


@pytest.fixture(scope="module")
async def two(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    home = tmp_path_factory.mktemp("together")
    databases = await fresh_databases(server_dsn)
    async with AsyncExitStack() as stack:
        installation = await stack.enter_async_context(serving(home, databases))
        first, second = [
            Api(await stack.enter_async_context(installation.http(name)))
            for name in ("worker-1", "worker-2")
        ]
        company = await _company(home, databases, first)
        yield Two(
            home=home,
            databases=databases,
            installation=installation,
            company=company,
            first=first,
            second=second,
        )


async def _company(home: Path, databases: Databases, api: Api) -> DemoCompany:
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    settings = replace(settings_of(home, databases), kek_file=home / "kek")
    async with databases_of.opened(dsns, settings, now=utc_now()) as opened:
        company = await companies.make(opened, api, now=utc_now())
    for driver in company.drivers:
        person = await api.log_in(driver.phone, driver.password)
        company_id = (await person.get("/v1/session"))["company"]["company_id"]
        shown = await person.get(
            f"/v1/policies/driver_notice/current?company_id={company_id}&language=en"
        )
        notice = {name: shown[name] for name in ("document", "edition", "language", "sha256")}
        for item in (await person.get("/v1/me/consents"))["items"]:
            if item["item"] in AGREED:
                answer = {"item": item["item"], "answer": "given", "notice": notice}
                await person.post("/v1/me/consents", answer)
        await person.post("/v1/me/shift/start")
    return company


async def test_a_screen_at_one_worker_shows_within_a_second_what_came_to_the_other(
    two: Two,
) -> None:
    driver = two.company.drivers[0]
    token = _token(await two.dispatcher(two.first))
    async with two.stream("worker-1", token) as screen:
        took = []
        for _ in range(3):
            before = screen.positions_of(driver.driver_id)
            answer = await two.upload(two.second, driver)
            assert answer["accepted"] == 1
            answered = monotonic()
            async with asyncio.timeout(10):
                while screen.positions_of(driver.driver_id) == before:  # noqa: ASYNC110 - its own task
                    await asyncio.sleep(0.005)
            took.append(screen.events[-1][0] - answered)

    assert min(took) <= SHOWN_S_MAX
    assert max(took) <= SHOWN_S_MAX + SLACK_S


async def test_a_withdrawal_at_one_worker_is_obeyed_by_the_other_at_once(two: Two) -> None:
    driver = two.company.drivers[1]
    person = await two.first.log_in(driver.phone, driver.password)
    dispatcher = await two.dispatcher(two.second)
    track = f"/v1/drivers/{driver.driver_id}/track?" + _today()
    async with two.stream("worker-2", _token(dispatcher)) as screen:
        # The second worker believes in the consent, and shows it, up to the withdrawal.
        assert (await two.upload(two.second, driver))["accepted"] == 1
        await screen.until("pos", driver.driver_id)
        assert (await dispatcher.get(track))["count"] == 1

        await person.post("/v1/me/consents/location/withdraw")

        withdrawn = monotonic()
        answer = await two.upload(two.second, driver)
        assert answer["accepted"] == 0
        assert answer["consent"] == "withdrawn"
        assert answer["purge"]
        shown = await dispatcher.get(track)
        assert (shown["availability"], shown["count"]) == ("not_shared", 0)
        await screen.until("gone", driver.driver_id)
        assert not [
            at
            for at, name, data in screen.events
            if name == "pos"
            and at > withdrawn
            and driver.driver_id in {one["driver_id"] for one in data["drivers"]}
        ]


async def test_a_log_out_at_one_worker_ends_the_token_and_its_screens_in_the_other(
    two: Two,
) -> None:
    dispatcher = await two.dispatcher(two.first)
    token = _token(dispatcher)
    there = two.second.acting_with(token)
    async with two.stream("worker-2", token) as screen:
        assert await there.get("/v1/live")

        async with (
            two.installation.http("worker-1") as http,
            http.delete("/v1/session", headers=bearer(token)) as answer,
        ):
            assert answer.status == 204

        with pytest.raises(ApiRefused) as refused:
            await there.get("/v1/live")
        assert refused.value.status == 401
        sent = len(screen.events)
        # Something to show, so that the next tick asks who may see it.
        await two.upload(two.first, two.company.drivers[0])
        async with asyncio.timeout(10):
            await screen.ended.wait()
        assert not [name for _, name, _ in screen.events[sent:] if name == "pos"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_was_acknowledged_is_there_when_all_have_ended(
    two: Two, number: signal.Signals
) -> None:
    """Others than ``two`` end; ``two``, on the same databases, are asked what is there."""
    acknowledged: dict[str, set[datetime]] = {}
    async with serving(two.home, two.databases) as ending:
        processes = list(ending.processes().values())
        uploading = [
            asyncio.create_task(_upload_until_the_end(ending.url, driver, acknowledged))
            for driver in two.company.drivers[2:]
        ]
        async with asyncio.timeout(30):
            while sum(map(len, acknowledged.values())) < 40:  # noqa: ASYNC110 - of four tasks
                await asyncio.sleep(0.01)

        ending.process.send_signal(number)

        async with asyncio.timeout(STOP_S_MAX):
            await ending.process.wait()
            await asyncio.gather(*uploading)
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, STOP_S_MAX)
        assert not alive
    dispatcher = await two.dispatcher(two.first)
    for driver in two.company.drivers[2:]:
        track = await dispatcher.get(f"/v1/drivers/{driver.driver_id}/track?" + _today())
        kept = {datetime.fromisoformat(at) for at in track["columns"]["recorded_at"]}
        assert acknowledged[driver.driver_id] <= kept


async def _upload_until_the_end(
    url: str, driver: DemoDriver, acknowledged: dict[str, set[datetime]]
) -> None:
    mine = acknowledged.setdefault(driver.driver_id, set())
    async with ClientSession(url, timeout=ClientTimeout(total=5)) as http:
        phone = Api(http, driver.device_token)
        while True:
            at = utc_now()
            at = at.replace(microsecond=at.microsecond // 1000 * 1000)
            position = {"recorded_at": rfc3339(at), "lat": 43.2, "lon": 76.9}
            try:
                answer = await phone.post("/v1/positions", {"positions": [position]})
            except (ClientError, ApiRefused, TimeoutError):
                return
            assert answer["accepted"] + answer["duplicate"] == 1
            mine.add(at)


async def test_guesses_at_a_password_are_counted_together(two: Two) -> None:
    """Each worker alone would let through as many."""
    guess = {"login": "+77010009999", "password": "not-the-right-one", "transport": "bearer"}
    looked_at = 0
    for number in range(2 * FREE_ATTEMPTS):
        worker = (two.first, two.second)[number % 2]
        with pytest.raises(ApiRefused) as refused:
            await worker.post("/v1/session", guess)
        if refused.value.status == 429:
            break
        looked_at += 1

    assert looked_at == FREE_ATTEMPTS
    other = (two.first, two.second)[(number + 1) % 2]
    with pytest.raises(ApiRefused) as refused:
        await other.post("/v1/session", guess)
    assert refused.value.status == 429


async def test_ids_that_are_tried_out_are_counted_together(two: Two) -> None:
    """Neither worker is asked for as many as are reported."""
    token = _token(await two.dispatcher(two.first))
    for number in range(UNKNOWN_IDS_MAX + 1):
        dispatcher = (two.first, two.second)[number % 2].acting_with(token)
        with pytest.raises(ApiRefused) as refused:
            await dispatcher.get(f"/v1/drivers/{uuid4()}/track?" + _today())
        assert refused.value.status == 404
    owner = await asyncpg.connect(two.databases.main)

    told = await owner.fetch("SELECT facts FROM ledger_entry WHERE act = 'unknown_ids_alert'")

    await owner.close()
    assert [json.loads(one["facts"])["ids"] for one in told] == [UNKNOWN_IDS_MAX + 1]


def _token(api: Api) -> str:
    return api._headers["Authorization"].removeprefix("Bearer ")  # noqa: SLF001 - no other way


def _today() -> str:
    now = utc_now()
    since, until = (rfc3339(now + timedelta(hours=hours)) for hours in (-1, 1))
    return f"from={since}&to={until}"
