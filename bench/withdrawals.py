"""How long a withdrawal takes while uploads saturate the server.

Twice: the gate itself beside four committers that store for that very driver without pause (the
race proof's own flood), and by HTTP, while 32 connections upload for that driver and 64 more keep
the server busy with the rest of the fleet.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

import numpy as np

from bench.fleet import ON_SHIFT, FleetDriver, Ground, log_in
from bench.http1 import Caller, Origin
from bench.load import Plan
from bench.loads import loading
from bench.tracks import Track
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from tests import consents
from tests.proofs import Progress, Report, Row, at_most
from tests.races.withdrawal import LATENCY_TARGET_MS, WRITERS, latencies_stored_ms
from tests.world import add_company, add_driver

SIZE: Final = 10
FLOOD_S: Final = 0.05
"""From the first upload to the withdrawal."""
OF_DRIVER: Final = 5
"""Withdrawals of one driver, whose phones would then have used up what a device may upload."""
OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    withdrawals: int
    neighbours: int
    connections: int
    uploads_each: int
    """Of each neighbour: enough to last for all withdrawals."""


SIZES: Final = {
    "smoke": Sizes(withdrawals=5, neighbours=40, connections=8, uploads_each=60),
    "full": Sizes(withdrawals=400, neighbours=400, connections=64, uploads_each=1_000),
}


async def measure(ground: Ground, report: Report) -> None:
    sizes = SIZES[ground.size]
    direct_ms = await latencies_stored_ms(ground.at, sizes.withdrawals)
    _say(report, "the gate itself", direct_ms, f"{WRITERS} uploaders of that driver")
    http_ms, beside = await _over_http(ground, sizes)
    note = f"{WRITERS} connections upload for that driver, {sizes.connections} for others; {beside}"
    _say(report, "over HTTP", http_ms, note)


async def _over_http(ground: Ground, sizes: Sizes) -> tuple[list[float], str]:
    took_ms: list[float] = []
    answers: Counter[int] = Counter()
    progress = Progress("withdrawals over HTTP", sizes.withdrawals)
    async with loading(_neighbours(ground, sizes)) as load:
        uploading = asyncio.create_task(load.upload())
        while len(took_ms) < sizes.withdrawals and not uploading.done():
            withdrawing = await Withdrawing.begin(ground)
            for _ in range(OF_DRIVER):
                took_ms.append(await withdrawing.once())
                progress.step()
            answers += withdrawing.answers
            withdrawing.close()
        load.give_up()
        await asyncio.gather(uploading, return_exceptions=True)
    refused = answers.total() - answers[OK]
    return took_ms, f"{answers.total()} uploads of theirs answered, {refused} not with 200"


def _neighbours(ground: Ground, sizes: Sizes) -> Plan:
    """Return uploads of the others, of a stretch of their shift that no other section uses."""
    return Plan(
        port=ground.ours.port,
        connections=sizes.connections,
        shape="columns",
        size=SIZE,
        uploads_each=sizes.uploads_each,
        began=(datetime.now(UTC) - timedelta(hours=8)).isoformat(),
        seed=10_000,
        tokens=[one.token for one in ground.fleet[-sizes.neighbours :]],
    )


class Withdrawing:
    """One driver who gives and withdraws, while 32 connections upload for them."""

    def __init__(self, ground: Ground, driver: FleetDriver, session: str) -> None:
        self._ground = ground
        self._driver = driver
        self._session = session
        self._origin = Origin(host="127.0.0.1", port=ground.ours.port)
        self._writers: list[Caller] = []
        self._person = Caller(self._origin)
        self._track = Track(0, size=SIZE, shape="columns", step_s=0.001)
        self._numbers = count()
        self.answers: Counter[int] = Counter()

    @classmethod
    async def begin(cls, ground: Ground) -> "Withdrawing":
        at, now = ground.at, datetime.now(UTC)
        company_id = await add_company(at.vault, at.owner)
        made = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
        driver = FleetDriver(
            company_id=company_id, driver_id=made.member_id, token=made.device_token
        )
        async with db.tenant(at.pool, company_id) as conn:
            await gates.open_window(
                conn, company_id, made.member_id, at=now, expires_at=now + ON_SHIFT
            )
            items = (GateItem.DISPATCH_TRACKING, GateItem.PLAN_FACT)
            await consents.give(conn, company_id, made.member_id, *items, now=now)
        withdrawing = cls(ground, driver, await log_in(at, driver))
        origin = withdrawing._origin
        withdrawing._writers = [await Caller.connected(origin) for _ in range(WRITERS)]
        withdrawing._person = await Caller.connected(origin)
        return withdrawing

    async def once(self) -> float:
        """Give the consent, let uploads flow, withdraw; return how many milliseconds that took."""
        driver = self._driver
        async with db.tenant(self._ground.at.pool, driver.company_id) as conn:
            await consents.give(
                conn,
                driver.company_id,
                driver.driver_id,
                GateItem.LOCATION,
                now=datetime.now(UTC),
            )
        over = asyncio.Event()
        writing = [asyncio.create_task(self._write(writer, over)) for writer in self._writers]
        await asyncio.sleep(FLOOD_S)
        began_s = time.perf_counter()
        answer = await self._person.ask("POST", "/v1/me/consents/location/withdraw", self._session)
        took_ms = 1000 * (time.perf_counter() - began_s)
        over.set()
        await asyncio.gather(*writing)
        if answer.status != OK:
            raise RuntimeError(f"a withdrawal was answered with {answer.status}")
        return took_ms

    async def _write(self, writer: Caller, over: asyncio.Event) -> None:
        while not over.is_set():
            body = self._track.body(next(self._numbers), round(1000 * time.time()))
            answer = await writer.ask("POST", "/v1/positions", self._driver.token, body)
            self.answers[answer.status] += 1

    def close(self) -> None:
        for caller in (*self._writers, self._person):
            caller.close()


def _say(report: Report, which: str, took_ms: list[float], note: str) -> None:
    p50, p99 = (float(one) for one in np.percentile(took_ms, (50, 99)))
    figure = f"withdrawal p99 under saturating uploads, {which}"
    note = f"{len(took_ms)} withdrawals; {note}"
    report.add(at_most(figure, p99, LATENCY_TARGET_MS, unit="ms", note=note))
    report.add(
        Row(
            figure=f"withdrawal p50 and max under saturating uploads, {which}",
            value=f"{p50:.1f} and {max(took_ms):.1f}",
            unit="ms",
        )
    )
