"""The demo: one company, a small fleet on recorded tracks, and what a person needs to look in."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, ClientTimeout

from server import databases, running
from server.databases import Say
from server.demo import company as companies
from server.demo import fleet
from server.demo.api import Api
from server.demo.clock import FastClock
from server.demo.company import DemoCompany
from server.demo.tracks import RUNS_FILE
from server.kit.http_server import Address, CannotListen, refuse_taken
from server.kit.web import utc_now
from server.settings import EMBEDDED_COUNTRY, Settings

SPEED_MAX: Final = 60.0
CLOCK_SAVED_EVERY_S: Final = 5.0


class TracksMissing(Exception):
    """An image or a wheel carries no demo. ``str`` is one sentence for a person."""


LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


async def run(
    settings: Settings, *, speed: float, port: int | None, stop: asyncio.Event, say: Say
) -> None:
    """Serve the demo until ``stop`` is set.

    Raises
    ------
    TracksMissing, CannotListen, LocalPostgresError, PostgresUnreachable, UnsafePostgres,
    KekUnusable
    """
    if settings.host not in LOOPBACK:
        raise CannotListen("The demo's data are for looking at: it serves this machine only.")
    if not RUNS_FILE.exists():
        raise TracksMissing("The recorded tracks are not here: the demo runs from a clone.")
    # Its company is made up, and so is where that company's data lies.
    # One process: its clock is the demo's own.
    settings = replace(settings, storage_country=EMBEDDED_COUNTRY, workers=1)
    if port is not None:
        settings = replace(settings, port=port, ops_port=port + 1)
    # Said before PostgreSQL is started, so that a person does not wait for it in vain.
    await refuse_taken(settings.host, settings.port)
    await refuse_taken(settings.ops_host, settings.ops_port)
    file = company_file(settings)
    made = companies.load(file)
    if settings.database_url is None:
        say("Starting PostgreSQL (embedded, in the folder of the data)...")
    async with databases.available(settings, say=say) as dsns:
        await databases.bring_up_to_date(dsns, say=say)
        begin = utc_now()
        if made is not None:
            begin = max(begin, datetime.fromisoformat(made.clock))
        clock = FastClock.beginning(begin, speed=speed)
        async with running.server(settings, dsns, clock=clock, say=say) as server:
            timeout = ClientTimeout(total=30)
            async with ClientSession(server.address.url, timeout=timeout) as http:
                api = Api(http)
                if made is None:
                    say("Making the demo company and its people...")
                    made = await companies.make(server.opened, api, now=clock())
                    companies.save(file, made)
                say(_welcome(server.address, made, speed=speed, folder=str(settings.home)))
                await _drive_until(stop, api, made, clock, lambda at: _save(file, made, at))
                say("Stopping...")
    say("Stopped; nothing is left running. The data stay where they are.")


def company_file(settings: Settings) -> Path:
    return settings.home / "demo" / "company.json"


def refuse_public(settings: Settings) -> None:
    """Refuse an address that others reach where the demo's log-ins lie in a file.

    Raises
    ------
    CannotListen
    """
    if settings.host not in LOOPBACK and company_file(settings).exists():
        raise CannotListen(
            f"{settings.home} holds the demo, whose log-ins are in a file: it is served on this "
            "machine only. Set another JOLDA_HOME."
        )


def _save(file: Path, made: DemoCompany, at: datetime) -> None:
    companies.save(file, replace(made, clock=at.isoformat()))


async def _drive_until(
    stop: asyncio.Event,
    api: Api,
    made: DemoCompany,
    clock: FastClock,
    save: Callable[[datetime], None],
) -> None:
    driving = asyncio.create_task(fleet.drive(api, made, clock))
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stopping.done():
            save(clock())
            await asyncio.wait(
                {driving, stopping},
                timeout=CLOCK_SAVED_EVERY_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if driving.done() and driving.exception() is not None:
                await driving
    finally:
        save(clock())
        for task in (driving, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _welcome(address: Address, made: DemoCompany, *, speed: float, folder: str) -> str:
    return f"""Ready.

  Dispatcher page   {address.url}/
  API description   {address.url}/docs

  Log in as         {made.dispatcher_login}
  Password          {made.dispatcher_password}
  (main user        {made.main_user_login} / {made.main_user_password})

  {len(made.drivers)} drivers replay recorded real tracks at {speed:g}x: the demo's clock runs that
  fast. One of them withdraws the location consent on the way. Deleting a driver
  takes effect at once here: the demo's grace period is 0.

  The data, and the keys to them, are in {folder}
  (a copy of that folder holds both). Ctrl-C stops everything; make clean removes it.
"""
