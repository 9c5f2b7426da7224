"""The two databases: the ones the environment names, or an embedded PostgreSQL of our own."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from server.accounts import service as accounts
from server.backups import fence
from server.connections import PoolSizes
from server.consent import service as consent
from server.kek.places import keks_at
from server.kit import db, localpg, revision
from server.kit.db import PostgresUnreachable
from server.kit.revision import Schema, SchemaUnreadable
from server.settings import Settings
from server.vault.opening import evicting, installation_of, open_vault, was_opened
from server.vault.service import Vault

CONNECT_S_MAX: Final = 5.0
ONE_PROCESS: Final = PoolSizes()

Say = Callable[[str], None]


class SchemaOutdated(Exception):
    """The database is not at the revision this code needs. ``str`` says what to run."""


class StorageMoved(Exception):
    """Drivers agreed to another country than the data is stored in. ``str`` says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """DSNs of ``main`` and ``keys``; they may hold passwords."""

    main: str = field(repr=False)
    keys: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the application works with."""

    dsn: str = field(repr=False)
    keys_dsn: str = field(repr=False)
    pool: db.Pool
    keys_pool: db.Pool
    vault: Vault


@asynccontextmanager
async def available(settings: Settings, *, say: Say) -> AsyncGenerator[Databases]:
    """Give the two databases, starting the embedded PostgreSQL where none is named.

    Raises
    ------
    LocalPostgresError, PostgresUnreachable, UnsafePostgres
    """
    async with AsyncExitStack() as stack:
        if settings.database_url is not None and settings.keys_database_url is not None:
            databases = Databases(main=settings.database_url, keys=settings.keys_database_url)
        else:
            server = await stack.enter_async_context(
                localpg.run(
                    settings.home / "postgres",
                    unsafe_for_tests=settings.allow_unsafe_postgres,
                    say=say,
                )
            )
            databases = await _embedded(server)
        for name, dsn in (("DATABASE_URL", databases.main), ("KEYS_DATABASE_URL", databases.keys)):
            await _check(name, dsn, allow_unsafe=settings.allow_unsafe_postgres)
        yield databases


@asynccontextmanager
async def up_to_date(settings: Settings, *, say: Say) -> AsyncGenerator[Databases]:
    """Give the two databases with the schema this code needs: the embedded ones are migrated.

    Raises
    ------
    LocalPostgresError, PostgresUnreachable, UnsafePostgres, SchemaOutdated, SchemaTooNew
    """
    async with available(settings, say=say) as databases:
        if settings.database_url is None:
            await bring_up_to_date(databases, say=say)
        else:
            await refuse_outdated(databases)
        yield databases


async def bring_up_to_date(databases: Databases, *, say: Say) -> None:
    """Migrate the databases that are not up to date."""
    schemas: tuple[tuple[Schema, str], ...] = (("main", databases.main), ("keys", databases.keys))
    for schema, dsn in schemas:
        if await revision.found(dsn) == revision.newest(schema):
            continue
        # Alembic and SQLAlchemy: 26 MB that a server of databases up to date never takes.
        from server.kit.migrate import migrate  # noqa: PLC0415

        applied = await migrate(dsn, schema)
        if applied:
            say(f"Migrated {schema} to revision {applied[-1]}.")


async def refuse_outdated(databases: Databases) -> None:
    """Refuse to serve on a schema this code was not written for.

    Raises
    ------
    SchemaOutdated, SchemaUnreadable
    """
    main, keys = databases.main, databases.keys
    if not await revision.is_current(main, "main") or not await revision.is_current(keys, "keys"):
        raise SchemaOutdated("The database schema is not up to date; run: jolda migrate")


async def refuse_ungranted(databases: Databases) -> None:
    """Refuse a log-in that could read and write, and never exchange a key.

    Raises
    ------
    SchemaUnreadable
    """
    try:
        conn = await db.connect(databases.keys, role=db.ROLE_REKEYING)
    except asyncpg.InsufficientPrivilegeError:
        raise SchemaUnreadable(
            "The log-in of the keys database may not exchange keys, so what is erased would stay "
            f"readable in backups; run there, as its owner: GRANT {db.ROLE_REKEYING} TO the log-in"
        ) from None
    await conn.close()


@asynccontextmanager
async def opened(
    databases: Databases, settings: Settings, *, now: datetime, sizes: PoolSizes = ONE_PROCESS
) -> AsyncGenerator[Opened]:
    """Open the pools of the application's roles, and the vault.

    Several processes may do so at once, but for the first time: that makes the KEK.

    Raises
    ------
    Behind
        The key database is empty, and `main` is not: nothing was made in either.
    KekUnusable
    """
    async with (
        db.pool(databases.main, role=db.ROLE_APP, size_max=sizes.main) as pool,
        db.pool(databases.keys, role=db.ROLE_KEYS, size_max=sizes.keys) as keys_pool,
    ):
        # Nothing that is there opens with a KEK made anew, so none is made beside it.
        may_make = not await was_opened(keys_pool)
        if may_make:
            # Nor are keys: beside what they sealed in main they would only look like those lost.
            await fence.refuse_keyless(keys_pool, await _companies(databases.main))
        async with keks_at(settings.kek, may_make=may_make) as keks:
            installation_id = await installation_of(keys_pool, now)
            # Before anything is wrapped by it; but it is ours only once it opened what is there.
            await keks.refuse_other(installation_id)
            vault = await open_vault(keys_pool, keks, now)
            # One that was restored still has the name of the one that was backed up.
            if await fence.is_noted(keys_pool):
                await keks.claim(installation_id)
            async with evicting(vault):
                yield Opened(
                    dsn=databases.main,
                    keys_dsn=databases.keys,
                    pool=pool,
                    keys_pool=keys_pool,
                    vault=vault,
                )


async def refuse_moved(opened: Opened, country: str) -> None:
    """Let every company's consents say the country of the settings, or else refuse to start.

    Raises
    ------
    StorageMoved
        Consents in force say another one.
    """
    for company_id in await _companies(opened.dsn):
        async with db.tenant(opened.pool, company_id) as tenant:
            if not await consent.settle_storage(tenant, company_id, country):
                raise StorageMoved(
                    f"JOLDA_STORAGE_COUNTRY is {country}, but drivers of the company {company_id} "
                    "agreed to storage in another country. See docs/how-to/run-in-production.md."
                )


async def _companies(dsn: str) -> list[UUID]:
    conn = await db.connect(dsn, role=db.ROLE_JOBS)
    try:
        return await accounts.every_company(conn)
    finally:
        await conn.close()


async def _embedded(server: localpg.Server) -> Databases:
    conn = await asyncpg.connect(server.dsn())
    try:
        for name in ("main", "keys"):
            if not await conn.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                # One of two names of our own, never a caller's text.
                await conn.execute(f"CREATE DATABASE {name}")
    finally:
        await conn.close()
    return Databases(main=server.dsn("main"), keys=server.dsn("keys"))


async def _check(name: str, dsn: str, *, allow_unsafe: bool) -> None:
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            conn = await db.connect(dsn)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # The error's own text may repeat the DSN with its password.
        kind = type(error).__name__
        raise PostgresUnreachable(
            f"The database that {name} names cannot be reached ({kind})."
        ) from None
    try:
        await db.refuse_unsafe(conn, allow_unsafe=allow_unsafe)
    finally:
        await conn.close()
