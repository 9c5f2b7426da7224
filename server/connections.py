"""How many connections to PostgreSQL each process may open, so that all of them fit."""

from dataclasses import dataclass
from typing import Final

from server.kit import db

POOL_MAX: Final = 20
KEYS_POOL_MAX: Final = 6
POOL_MIN: Final = 10
"""One is the hub's, who listens all the time; six may be reading for uploads; the rest is for what
people do."""
KEYS_POOL_MIN: Final = 2
JOBS_POOL: Final = 12
JOBS_KEYS_POOL: Final = 4
COMMITTER: Final = 3
"""Of every process that takes uploads."""
JOBS_OWN: Final = 7
"""The queue's, those that ask for the companies, and those of compaction and of the retention."""
SPARE: Final = 10
"""Left for whoever looks into the database, for backups, and for the supervisor while it starts."""


class ConnectionsShort(Exception):
    """PostgreSQL takes fewer connections than are needed. ``str`` says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSizes:
    """The most connections of one process's pools."""

    main: int = POOL_MAX
    keys: int = KEYS_POOL_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many connections the servers take from us."""

    main: int
    keys: int
    same_server: bool
    """``main`` and ``keys`` are two databases of one server: its connections are for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What each process gets."""

    worker: PoolSizes
    jobs: PoolSizes


async def room(main_dsn: str, keys_dsn: str) -> Room:
    """Ask both servers how many connections they take from ordinary users."""
    (main, main_started), (keys, keys_started) = await _asked(main_dsn), await _asked(keys_dsn)
    return Room(main=main, keys=keys, same_server=main_started == keys_started)


async def _asked(dsn: str) -> tuple[int, object]:
    conn = await db.connect(dsn)
    try:
        connections = await conn.fetchval(
            """
            SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::int)
              FROM pg_settings
             WHERE name IN (
                 'max_connections', 'superuser_reserved_connections', 'reserved_connections')
            """
        )
        # To the microsecond: two servers do not share it.
        return int(connections), await conn.fetchval("SELECT pg_postmaster_start_time()")
    finally:
        await conn.close()


def shares(workers: int, room: Room) -> Shares:
    """Divide the room among the workers and the job runner.

    Raises
    ------
    ConnectionsShort
    """
    worker = _share_of_each(workers, room)
    if worker is None:
        most = next(n for n in range(workers - 1, -1, -1) if n == 0 or _share_of_each(n, room))
        raise ConnectionsShort(
            f"JOLDA_WORKERS is {workers}, but the connections that PostgreSQL takes are enough for "
            f"{most}. Lower it, or give DATABASE_URL and KEYS_DATABASE_URL servers with a higher "
            "max_connections."
        )
    return Shares(worker=worker, jobs=PoolSizes(main=JOBS_POOL, keys=JOBS_KEYS_POOL))


def _share_of_each(workers: int, room: Room) -> PoolSizes | None:
    """Return the pools of one worker; None if they would be too small to work with."""
    left = room.main - SPARE - JOBS_POOL - JOBS_OWN
    if room.same_server:
        both = (left - JOBS_KEYS_POOL) // workers - COMMITTER
        keys = min(max(both // 5, KEYS_POOL_MIN), KEYS_POOL_MAX)
        main = both - keys
    else:
        keys = min((room.keys - SPARE - JOBS_KEYS_POOL) // workers, KEYS_POOL_MAX)
        main = left // workers - COMMITTER
    if main < POOL_MIN or keys < KEYS_POOL_MIN:
        return None
    return PoolSizes(main=min(main, POOL_MAX), keys=keys)
