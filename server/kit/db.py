"""PostgreSQL: connections, roles, and the one way to begin a tenant's transaction."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Record: TypeAlias = asyncpg.Record
LockTimeout: TypeAlias = asyncpg.LockNotAvailableError
UniqueViolation: TypeAlias = asyncpg.UniqueViolationError
ForeignKeyViolation: TypeAlias = asyncpg.ForeignKeyViolationError

ROLE_APP: Final = "jolda_app"
ROLE_COMMITTER: Final = "jolda_committer"
ROLE_JOBS: Final = "jolda_jobs"
ROLE_KEYS: Final = "jolda_keys"
ROLE_REKEYING: Final = "jolda_rekeying"

OUTAGES: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)

COMMAND_S_MAX: Final = 10.0
# By major version, the minor of 14 May 2026: before it, a query could write out of bounds
# (CVE-2026-6473). Later majors have the fix from their beginning.
SERVER_MINOR_MIN: Final = {15: 18, 16: 14, 17: 10, 18: 4}
# What an acknowledgement rests on. A server that has one of them off may forget what it said.
DURABILITY_SETTINGS: Final = ("fsync", "full_page_writes", "synchronous_commit")


def is_outage(error: BaseException) -> bool:
    """Tell whether the database is down, full or gave up on a conflict: trying again may help."""
    if isinstance(error, asyncpg.InterfaceError):
        # Also raised for misuse; only its text tells that a connection went away under us.
        return "clos" in str(error)
    return isinstance(error, OUTAGES)


class UnsafePostgres(Exception):
    """The server cannot keep our promises. ``str`` is one sentence for a person."""


class PostgresUnreachable(Exception):
    """No connection could be made. ``str`` is one sentence, without the DSN's password."""


def session_settings(role: str) -> dict[str, str]:
    return {
        "role": role,
        "timezone": "UTC",
        "application_name": role,
        # Without it the first uuid[] parameter on a Citus worker stalls for seconds.
        "citus.override_table_visibility": "off",
    }


async def connect(dsn: str, *, role: str | None = None) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection, acting as ``role`` (None: as the DSN's own user)."""
    settings = {"timezone": "UTC"} if role is None else session_settings(role)
    return await asyncpg.connect(dsn, server_settings=settings, command_timeout=COMMAND_S_MAX)


@asynccontextmanager
async def pool(dsn: str, *, role: str, size_max: int = 10) -> AsyncGenerator[Pool]:
    """Open a pool whose sessions act as ``role``; never as the owner of the tables."""
    opened = asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size_max,
        command_timeout=COMMAND_S_MAX,
        server_settings=session_settings(role),
        reset=_leave_as_it_is,
    )
    async with opened:
        yield opened


async def _leave_as_it_is(_conn: Connection) -> None:
    """Ask nothing of a connection that comes back: a round trip less for every transaction.

    asyncpg rolls back what is still open. All else of ours ends with its transaction (SET LOCAL,
    locks of a transaction), but for a listener, which takes itself away again;
    tests/test_architecture.py refuses what would not.
    """


@asynccontextmanager
async def tenant(
    pool: Pool, company_id: UUID, *, readonly: bool = False
) -> AsyncGenerator[Connection]:
    """One transaction that sees exactly one company: row-level security is set first."""
    async with pool.acquire() as conn, conn.transaction(readonly=readonly):
        await enter(conn, company_id)
        yield conn


async def enter(conn: Connection, company_id: UUID) -> None:
    """Let the running transaction see ``company_id``, and nothing else, until it ends."""
    # SET takes no parameters; a UUID prints as hex digits and dashes only.
    await conn.execute(f"SET LOCAL app.company_id = '{UUID(str(company_id))}'")


async def one_snapshot(conn: Connection) -> None:
    """Let everything the transaction reads be of one moment. Before its first query."""
    await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def refuse_unsafe(conn: Connection, *, allow_unsafe: bool) -> None:
    """Refuse a server too old, a replica, or one that may forget an acknowledged commit.

    Raises
    ------
    UnsafePostgres
    """
    refuse_old(int(await conn.fetchval("SELECT current_setting('server_version_num')")))
    if await conn.fetchval("SELECT pg_is_in_recovery()"):
        raise UnsafePostgres("This PostgreSQL is a replica; the gate is never read from one.")
    off = [
        name
        for name in DURABILITY_SETTINGS
        if await conn.fetchval("SELECT current_setting($1)", name) == "off"
    ]
    if off and not allow_unsafe:
        raise UnsafePostgres(
            f"PostgreSQL has {', '.join(off)} off, so an acknowledged position could be lost. "
            "Turn it on."
        )


def refuse_old(version: int) -> None:
    """Refuse a server (as ``server_version_num`` tells) without the fixes this release knows of.

    Raises
    ------
    UnsafePostgres
    """
    major, minor = divmod(version, 10_000)
    if major < min(SERVER_MINOR_MIN):
        raise UnsafePostgres(f"PostgreSQL {min(SERVER_MINOR_MIN)} or newer is needed.")
    needed = SERVER_MINOR_MIN.get(major, 0)
    if minor < needed:
        raise UnsafePostgres(
            f"This PostgreSQL is {major}.{minor}; {major}.{needed} fixes holes in it, or newer."
        )
