"""The housekeeping of the job runner without its pauses, a process of its own: to be killed in it.

``python -m tests.crash.keeper MAIN KEYS KEK BEGAN`` compacts what the phones uploaded and forgets
what was kept long enough, again and again, by the clocks of hours.py. After each turn it writes on
standard output how many hours it merged and how many positions it removed, and it ends when its
standard input does.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from server.accounts import service as accounts
from server.kit import db, logs
from server.kit.problem import where
from server.retention.service import forget_old_tracks
from server.tracking import compaction
from tests.crash.hours import Hours, compacting_at
from tests.stage import Place, Stage, stage_on

PAUSE_S: Final = 0.1


async def every_company(at: Stage) -> list[UUID]:
    conn = await db.connect(at.main, role=db.ROLE_JOBS)
    try:
        return await accounts.every_company(conn)
    finally:
        await conn.close()


async def compacted(at: Stage) -> int:
    """Compact what is due in every company; return how many hours."""
    now = compacting_at(datetime.now(UTC))
    merged = 0
    for company_id in await every_company(at):
        merged += await compaction.compact_due(at.main, at.pool, at.vault, company_id, now)
    return merged


async def forgotten(at: Stage, kept_since: datetime) -> int:
    """Remove what is older in every company; return how many positions."""
    positions = 0
    for company_id in await every_company(at):
        async with db.tenant(at.pool, company_id, readonly=True) as conn:
            company = await accounts.company(conn, company_id)
        assert company.track_days is not None
        now = kept_since + timedelta(days=company.track_days)
        positions += (await forget_old_tracks(at.pool, at.vault, company_id, now)).positions
    return positions


async def keep(place: Place, hours: Hours) -> None:
    """Do both without end, also after the database was away."""
    while True:
        try:
            async with stage_on(place) as at:
                while True:
                    merged = await compacted(at)
                    positions = await forgotten(at, hours.kept_since(datetime.now(UTC)))
                    sys.stdout.write(f"{merged} {positions}\n")
                    sys.stdout.flush()
                    await asyncio.sleep(PAUSE_S)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            sys.stderr.write(f"{where(error)}\n")
            await asyncio.sleep(PAUSE_S)


async def main(main_dsn: str, keys_dsn: str, kek: str, began: str) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    place = Place(main=main_dsn, keys=keys_dsn, kek=Path(kek))
    keeping = asyncio.create_task(keep(place, Hours(datetime.fromisoformat(began))))
    reading = asyncio.create_task(asked.read())
    await asyncio.wait({keeping, reading}, return_when=asyncio.FIRST_COMPLETED)
    # At once, as if it were killed: it closes nothing, for whom it would close it may be gone.
    os._exit(0 if reading.done() else 1)


if __name__ == "__main__":
    logs.configure()
    asyncio.run(main(*sys.argv[1:]))
