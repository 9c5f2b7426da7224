"""The control of the kills: a PostgreSQL that answers before a commit is on the disk.

The product refuses to start on one. Here the setting is changed while it runs.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

import asyncpg

from tests.crash.fleet import fleet
from tests.crash.history import Fault
from tests.crash.hours import Hours
from tests.crash.people import make_people
from tests.crash.scene import Scene, compare, warm
from tests.stage import stage_on

AGAIN_S_MAX: Final = 60.0
LOAD_S: Final = 1.0
UNSAFE: Final = {"synchronous_commit": "off", "wal_writer_delay": "10s"}


async def lost(at: Scene, drivers: int, seed: int) -> int:
    """Kill that PostgreSQL under load; return how many acknowledged positions are gone."""
    async with stage_on(at.place) as stage:
        people = await make_people(stage, drivers, Hours(datetime.now(UTC)))
    await _set(at, {name: f"'{value}'" for name, value in UNSAFE.items()})
    async with fleet(at.servers.url, people, seed) as phones:
        await warm(phones)
        await asyncio.sleep(LOAD_S)
        await at.postgres.kill()
        await at.postgres.start()
        await phones.acknowledged_again(AGAIN_S_MAX)
    await _set(at, dict.fromkeys(UNSAFE, "DEFAULT"))
    verdict, _ = await compare(at.place, at.servers.url, people, phones.lives)
    return verdict.faults[Fault.LOST]


async def _set(at: Scene, settings: dict[str, str]) -> None:
    conn = await asyncpg.connect(at.postgres.dsn("postgres"))
    try:
        for name, value in settings.items():
            await conn.execute(f"ALTER SYSTEM SET {name} = {value}")
        await conn.execute("SELECT pg_reload_conf()")
    finally:
        await conn.close()
