"""The whole server as it is run, on databases of its own, with the demo's company in it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

from aiohttp import ClientSession

from server import databases as databases_of
from server import running
from server.demo import company as companies
from server.demo import fleet
from server.demo.api import Api
from server.demo.clock import FastClock
from server.demo.company import DemoCompany
from server.kit.jobs import Jobs
from server.running import Running
from server.settings import Settings
from tests.conftest import Databases, copy_databases
from tests.world import NOW

SPEED = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A served demo: its address, its people, and the databases underneath."""

    running: Running
    company: DemoCompany
    api: Api
    clock: FastClock
    databases: Databases
    home: Path

    @property
    def url(self) -> str:
        return self.running.address.url

    async def dispatcher(self) -> Api:
        return await self.api.log_in(
            self.company.dispatcher_login, self.company.dispatcher_password
        )


def settings(home: Path, databases: Databases) -> Settings:
    return Settings(
        home=home,
        kek_file=home / "keys" / "kek",
        database_url=databases.main,
        keys_database_url=databases.keys,
        port=0,
        ops_port=0,
        allow_unsafe_postgres=True,
    )


def say_nothing(_sentence: str) -> None:
    """Keep the terminal's sentences out of the tests' output."""


def nothing_to_do(*_: object) -> Jobs:
    return Jobs(queued={}, every_minute={})


@asynccontextmanager
async def demo(
    server_dsn: str,
    home: Path,
    *,
    driving: bool = True,
    speed: float = SPEED,
    background: bool = True,
) -> AsyncGenerator[Demo]:
    """Serve the demo on fresh databases; with ``driving`` its fleet is on the road.

    Without ``background`` only a request changes anything: there are no jobs, nor what is due each
    minute or day.
    """
    databases = await copy_databases(server_dsn, f"demo_{uuid4().hex}")
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    clock = FastClock.beginning(NOW, speed=speed)
    async with AsyncExitStack() as stack:
        if not background:
            stack.enter_context(patch.object(running, "jobs_of", nothing_to_do))
        served = await stack.enter_async_context(
            running.server(settings(home, databases), dsns, clock=clock, say=say_nothing)
        )
        http = await stack.enter_async_context(ClientSession(served.address.url))
        api = Api(http)
        company = await companies.make(served.opened, api, now=clock())
        if driving:
            task = asyncio.create_task(fleet.drive(api, company, clock))
            stack.push_async_callback(_ended, task)
        yield Demo(
            running=served, company=company, api=api, clock=clock, databases=databases, home=home
        )


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
