"""Proof: who is hostile on the wire is cut off, and an honest phone beside is answered all along.

``python -m tests.uploads.hostile_clients`` runs the server as it is run, in a process of its own,
and writes var/proofs/hostile-clients.json. ``SIZE=smoke`` for a short run.
"""

import asyncio
import resource
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import psutil

from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.kit.http_server import Address
from tests.conftest import Databases
from tests.proofs import Report, Row, Size, at_most, ended, size
from tests.stage import Stage, on_a_stage
from tests.uploads.attacks import ATTACKS, LIMITS, Much, Target
from tests.uploads.honest_phone import HonestPhone, honest_phone
from tests.workers import serving
from tests.world import add_company, add_driver

ON_SHIFT: Final = timedelta(hours=12)
HONEST: Final = "127.0.0.2"
SPARE: Final = 8
SETTLED_S_MAX: Final = 20.0


SIZES: Final[dict[Size, Much]] = {
    "smoke": Much(
        quiet_s=0.5,
        connections=280,
        slow=60,
        slow_s=1.0,
        halves=50,
        pipelining=2,
        pipelined=50,
        forged=300,
        flooding_s=0.5,
        # Whatever else the machine does: a short run looks for what hangs, not for what is slow.
        honest_ms_max=5_000,
        grown_mb_max=50,
    ),
    "full": Much(
        quiet_s=10,
        connections=10_000,
        slow=4_000,
        slow_s=LIMITS.body_s_max + 10,
        halves=5_000,
        pipelining=20,
        pipelined=1_000,
        forged=1_000_000,
        flooding_s=30,
        honest_ms_max=100,
        grown_mb_max=10,
    ),
}


async def driver_of(at: Stage, company_id: UUID) -> str:
    """Add a driver on shift, by the machine's own clock; return the device's token."""
    began = datetime.now(UTC) - ON_SHIFT
    driver = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
    async with db.tenant(at.pool, company_id) as conn:
        who = (company_id, driver.member_id)
        for item in GateItem:
            await gates.set_consent(conn, *who, item, began)
        await gates.open_window(conn, *who, at=began, expires_at=began + 2 * ON_SHIFT)
    return driver.device_token


@asynccontextmanager
async def targets(at: Stage, much: Much) -> AsyncGenerator[Target]:
    """Run a server with two companies for as long as the block lasts."""
    theirs, honest = [await add_company(at.vault, at.owner) for _ in range(2)]
    devices = [await driver_of(at, theirs) for _ in range(much.pipelining + SPARE)]
    databases = Databases(main=at.main, keys=at.keys, admin=at.main)
    async with serving(
        at.kek.parent, databases, JOLDA_WORKERS="1", JOLDA_KEK_FILE=str(at.kek)
    ) as installation:
        url = urlsplit(installation.url)
        yield Target(
            address=Address(url.hostname or "", url.port or 0),
            process=psutil.Process(installation.process.pid),
            company_id=theirs,
            devices=tuple(devices[SPARE:]),
            spare=tuple(devices[:SPARE]),
            honest=await driver_of(at, honest),
            much=much,
        )


async def settled(target: Target, before: int) -> int:
    """Return how many more connections are open than before, once that is none or stays."""
    until = time.monotonic() + SETTLED_S_MAX
    while target.connections() > before and time.monotonic() < until:  # noqa: ASYNC110 - untold
        await asyncio.sleep(0.1)
    return max(0, target.connections() - before)


async def answered(honest: HonestPhone, what: str, began_s: float, most_ms: float) -> list[Row]:
    """Return how the honest phone was answered since then."""
    # A short attack may be over before the phone's next upload.
    while not (told := await honest.since(began_s)):  # noqa: ASYNC110 - it goes by its own clock
        await asyncio.sleep(0.05)
    times = sorted(one.took_s * 1_000 for one in told)
    unanswered = sum(one.status != 200 for one in told)
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
    return [
        at_most(f"honest phone, p99: {what}", p99, most_ms, unit="ms", note=f"of {len(told)}"),
        at_most(f"honest phone, not stored: {what}", unanswered, 0),
    ]


async def prove(at: Stage, much: Much) -> Report:
    """Let every attack come upon one server, one after the other."""
    report = Report(name="hostile-clients")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    report.add(Row(figure="files a process may open", value=files))
    async with (
        targets(at, much) as target,
        honest_phone(target.address, target.honest, local=HONEST) as honest,
    ):
        began_s = time.monotonic()
        await asyncio.sleep(much.quiet_s)
        for row in await answered(honest, "alone", began_s, much.honest_ms_max):
            report.add(row)
        before, before_mb = target.connections(), target.memory_mb()
        for name, attack in ATTACKS.items():
            sys.stderr.write(f"{name}...\n")
            began_s = time.monotonic()
            rows = await attack(at, target)
            for row in (*rows, *(await answered(honest, name, began_s, much.honest_ms_max))):
                report.add(row)
            over = await settled(target, before)
            report.add(at_most(f"connections left open: {name}", over, 0))
        grown_mb = target.memory_mb() - before_mb
        report.add(
            Row(figure="memory that all of it left behind", value=round(grown_mb, 1), unit="MB",
                note=f"from {before_mb:.0f} MB; the allocator keeps what connections held")
        )  # fmt: skip
    return report


def raise_file_limit() -> None:
    """Open as many files as the hard limit allows; the server, a child of this, as well."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    raise_file_limit()
    asked = SIZES[size()]
    sys.exit(ended(on_a_stage(lambda at: prove(at, asked))))
