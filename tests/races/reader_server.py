"""One server of the readers' proof, a process of its own: it stands still when it is told to.

``python -m tests.races.reader_server MAIN KEYS KEK VARIANT BEGAN_S``: tells its address on standard
output, then, as lines of JSON, which answers stand still. Orders come as lines of JSON on standard
input; it ends when that does.
"""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import UUID

import uvloop
from aiohttp import web
from limits import RateLimitItemPerSecond

from server.attestations import web as attestations
from server.devices import web as devices
from server.erasure import web as erasure
from server.gate import handover
from server.gate.handover import Viewing
from server.kit import db, logs
from server.kit.db import Connection, Pool
from server.links import service as link_service
from server.links import web as links
from server.links.pace import Pace
from server.live import hub
from server.live import service as live_service
from server.live import web as live
from server.live.model import Crew, Sight, Sights
from server.live.service import Glimpse
from server.reports import web as reports
from server.routes import web as routes
from server.tracking import render
from server.tracking import web as tracking
from server.uploads import web as uploads
from server.vault.service import Vault
from tests.endpoints import CONSENT, TRACKING
from tests.http import Clock, serve
from tests.races.frames import SPEED, no_barrier
from tests.stage import Place, stage_on
from tests.world import NOW, Driver, World

POOL_MAX: Final = 32
"""More than the answers that can stand still at once with a connection in their hand."""
STALL_S_MAX: Final = 0.25
"""A server that is held up for a moment: within its lease."""
STALLS: Final = 0.3
LOOKS_MAX: Final = 100
PART_POSITIONS: Final = 8
"""Driven in a moment: before each stop files come in several parts, each judged anew."""
LINE_POSITIONS: Final = 4
"""So each part of a GeoJSON file holds positions: a line is written once it is whole."""
TICK_S: Final = 0.1
NO_LEASE_S: Final = 60.0
NOBODY: Final = UUID(int=0)
PATH: Final[ContextVar[str]] = ContextVar("PATH")


class Variant(StrEnum):
    FENCE = "fence"
    NO_BARRIER = "no barrier"
    """Judges as the product does, but an act that closes a gate does not wait for it."""
    REMEMBERS = "remembers"
    """Judges by what was read when the answer was made: what a cache would do."""


class Point(StrEnum):
    """Where an answer may stand still."""

    READ = "read"
    """The positions are read, and not judged yet."""
    JUDGED = "judged"
    """It was judged that they may be shown, and nothing is written yet."""


class RunningClock(Clock):
    """Runs from NOW on, alike in every process: they share the machine's monotonic clock.

    It runs fast: a consent given again counts half a minute after it was withdrawn.
    """

    def __init__(self, began_s: float) -> None:
        super().__init__()
        self.began_s = began_s

    def __call__(self) -> datetime:
        return NOW + SPEED * timedelta(seconds=monotonic() - self.began_s)


class Standing:
    """Lets answers stand still: for a moment at random, or, as told, until they may go on."""

    def __init__(self) -> None:
        self._held: dict[UUID, tuple[Point, int, asyncio.Event]] = {}

    def obey(self, order: dict[str, Any]) -> None:
        """Hold all answers of a company at a point, in the name of a race; or let them go on."""
        company_id = UUID(order["company"])
        if company_id in self._held:
            self._held.pop(company_id)[2].set()
        if order["hold"] is not None:
            self._held[company_id] = (Point(order["hold"]), order["race"], asyncio.Event())

    async def at(self, point: Point, company_id: UUID) -> None:
        if company_id not in self._held:
            if random.random() < STALLS:  # noqa: S311 - no secret
                await asyncio.sleep(random.uniform(0, STALL_S_MAX))  # noqa: S311 - no secret
            return
        where, race, gone_on = self._held[company_id]
        if where is point:
            tell(race=race, held=PATH.get())
            await gone_on.wait()


STANDING: Final = Standing()


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered(Glimpse):
    """What was judged when it was read."""

    sights: Sights
    crews: dict[UUID, Crew]


Judged = Callable[..., Awaitable[tuple[dict[UUID, Sight], dict[UUID, Crew]]]]


def _remembering(judged: Judged) -> Callable[..., Awaitable[Glimpse]]:
    glimpse = live_service.glimpse

    async def read(
        pool: Pool, vault: Vault, company_id: UUID, *, now: datetime, **known: Any
    ) -> Glimpse:
        found = await glimpse(pool, vault, company_id, now=now, **known)
        async with db.tenant(pool, company_id, readonly=True) as conn:
            sights, crews = await judged(conn, company_id, found, now=now)
        return Remembered(
            fixes=found.fixes,
            assigned=found.assigned,
            standing=found.standing,
            plans=found.plans,
            sights=sights,
            crews=crews,
        )

    return read


async def _as_remembered(
    _conn: Connection, _company_id: UUID, glimpsed: Remembered, *, now: datetime
) -> tuple[Sights, dict[UUID, Crew]]:
    del now
    return glimpsed.sights, glimpsed.crews


async def _always(*_: Any, **__: Any) -> bool:
    return True


def judge_as(variant: Variant) -> None:
    """Let this process judge as the variant does, and stand still before it and after it."""
    judges: dict[tuple[Any, str], Callable[..., Awaitable[Any]]] = {
        (handover, "_unchanged"): handover._unchanged,  # noqa: SLF001 - what judges tracks and reports
        (link_service, "stands"): link_service.stands,
        (live_service, "judged"): live_service.judged,
    }
    if variant is Variant.REMEMBERS:
        _put(live_service, "glimpse", _remembering(live_service.judged))
        judges[handover, "_unchanged"] = judges[link_service, "stands"] = _always
        judges[live_service, "judged"] = _as_remembered
    for (module, name), judge in judges.items():
        _put(module, name, _standing_after(judge))
    _put(Viewing, "at", _standing_before(Viewing.at))
    if variant is Variant.NO_BARRIER:
        _put(handover, "frames", no_barrier)
        for module in (handover, hub, live):  # the lease is the barrier's
            _put(module, "SEND_S_MAX", NO_LEASE_S)


def _put(module: Any, name: str, value: object) -> None:
    assert hasattr(module, name)
    setattr(module, name, value)


def _standing_after(judge: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def stood(conn: Connection, *args: Any, **names: Any) -> Any:
        found = await judge(conn, *args, **names)
        await STANDING.at(Point.JUDGED, args[0] if args else names["seen"].company_id)
        return found

    return stood


def _standing_before(write_down: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    # A look is written down when the positions were read; what is judged is judged after it.
    async def stood(seen: Viewing, driver_ids: Any) -> None:
        await write_down(seen, driver_ids)
        await STANDING.at(Point.READ, seen.company_id)

    return stood


@web.middleware
async def _noting_the_path(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    PATH.set(request.path_qs)
    return await handler(request)


async def main(main_dsn: str, keys_dsn: str, kek: str, told: str, began_s: str) -> None:
    variant = Variant(told)
    judge_as(variant)
    # Who was stopped finds all looks waiting at once, more than any company has.
    for most in ("_inside_max", "_company_max"):
        _put(handover._turns, most, LOOKS_MAX)  # noqa: SLF001 - else it sends some away
    _put(tracking, "PART_POSITIONS", PART_POSITIONS)
    _put(render, "LINE_POSITIONS_MAX", LINE_POSITIONS)
    async with AsyncExitStack() as stack:
        place = Place(main=main_dsn, keys=keys_dsn, kek=Path(kek))
        at = await stack.enter_async_context(stage_on(place, pool_max=POOL_MAX))

        async def set_up(app: web.Application) -> AsyncIterator[None]:
            # The proof asks more often than any customer may.
            app[links.PACE] = Pace(*(RateLimitItemPerSecond(10_000, 1),) * 2)
            if variant is Variant.NO_BARRIER:
                app[live.HUB].barrier = no_barrier
            yield

        def prepare(app: web.Application) -> None:
            app.middlewares.append(_noting_the_path)
            app.cleanup_ctx.append(uploads.uploading(main_dsn))
            live.install(app, tick_s=TICK_S)
            app.cleanup_ctx.extend((links.showing, set_up))

        nobody = Driver(member_id=NOBODY, device_id=NOBODY, device_token="")
        served = serve(
            World(vault=at.vault, pool=at.pool, owner=at.owner, company_id=NOBODY, driver=nobody),
            CONSENT,
            devices.ENDPOINTS,
            attestations.ENDPOINTS,
            TRACKING,
            routes.ENDPOINTS,
            reports.ENDPOINTS,
            live.ENDPOINTS,
            links.ENDPOINTS,
            erasure.ENDPOINTS,
            clock=RunningClock(float(began_s)),
            prepare=prepare,
        )
        client = await stack.enter_async_context(served)
        tell(url=str(client._base_url))  # noqa: SLF001 - serve() tells it to nobody else
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
        )
        while line := await orders.readline():
            STANDING.obey(json.loads(line))


if __name__ == "__main__":
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the product runs
        runner.run(main(*sys.argv[1:]))
