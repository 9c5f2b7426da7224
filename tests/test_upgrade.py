"""Migrations over data that are there, by an owner whom row-level security binds as well."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from alembic import command

from server.kit import db, migrate
from server.kit.ids import uuid7

OWNER = "jolda_upgrade_owner"
ROLES = (db.ROLE_APP, db.ROLE_COMMITTER, db.ROLE_JOBS)
AT = datetime(2026, 9, 1, 8, tzinfo=UTC)
ACTED = AT + timedelta(hours=1)
COMPANY, DRIVER, ON_SCREEN, OFF_SCREEN, RAN_OUT = (uuid7() for _ in range(5))


@pytest.fixture
async def older(server_dsn: str) -> AsyncIterator[tuple[str, str]]:
    """A database of the release before, as its owner sees it and as its superuser does."""
    name = f"upgrade_{uuid7().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE")
    # As if it had made them itself: they are the whole server's, and there already.
    await admin.execute(f"GRANT {', '.join(ROLES)} TO {OWNER} WITH ADMIN OPTION")
    await admin.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    as_superuser = server_dsn.replace("/postgres?", f"/{name}?")
    user = as_superuser.split("//")[1].split("@")[0]
    yield as_superuser.replace(f"//{user}@", f"//{OWNER}@"), as_superuser
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {OWNER}")
    await admin.close()


async def upgrade(dsn: str, revision: str) -> None:
    config = migrate._config("main")  # noqa: SLF001 - to a revision that no release goes to
    engine = migrate._engine(dsn)  # noqa: SLF001
    try:
        async with engine.begin() as conn:

            def run(sync: object) -> None:
                config.attributes["connection"] = sync
                command.upgrade(config, revision)

            await conn.run_sync(run)
    finally:
        await engine.dispose()


async def add_gate(
    conn: "asyncpg.Connection[asyncpg.Record]",
    driver_id: UUID,
    *,
    window: bool,
    dispatch_until: datetime | None = None,
) -> None:
    await conn.execute(
        """
        INSERT INTO gate (company_id, driver_id, account_active, location_since, dispatch_since,
                          dispatch_until, acted_at, epoch, rev)
        VALUES ($1, $2, true, $3, $3, $4, $5, 7, 5)
        """,
        COMPANY,
        driver_id,
        AT,
        dispatch_until,
        ACTED,
    )
    if window:
        await conn.execute(
            """
            INSERT INTO recording_window (company_id, driver_id, window_id, opened_at, expires_at)
            VALUES ($1, $2, $3, $4, $5)
            """,
            COMPANY,
            driver_id,
            uuid7(),
            AT,
            AT + timedelta(hours=14),
        )


async def test_screens_count_on_from_where_they_were(older: tuple[str, str]) -> None:
    as_owner, as_superuser = older
    await upgrade(as_owner, "0021")
    conn = await asyncpg.connect(as_superuser)
    try:
        await add_gate(conn, ON_SCREEN, window=True)
        await add_gate(conn, OFF_SCREEN, window=False)
        await add_gate(conn, RAN_OUT, window=True, dispatch_until=ACTED)

        await upgrade(as_owner, "head")

        rows = await conn.fetch("SELECT driver_id, on_screen, screen_epoch FROM gate")
        forced = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
        )
    finally:
        await conn.close()
    assert {row[0]: tuple(row)[1:] for row in rows} == {
        ON_SCREEN: (True, 12),
        OFF_SCREEN: (False, 12),
        RAN_OUT: (False, 12),
    }
    assert forced == []


async def test_a_company_that_is_there_goes_on_keeping_tracks_as_its_drivers_were_told(
    older: tuple[str, str],
) -> None:
    as_owner, as_superuser = older
    add = """
        INSERT INTO company (company_id, name, time_zone, buffer_max_s, shift_max_s,
                             erasure_grace_s, created_at)
        VALUES ($1, $2, 'Asia/Almaty', 259200, 50400, 604800, $3)
        """
    await upgrade(as_owner, "0024")
    conn = await asyncpg.connect(as_superuser)
    try:
        await conn.execute(add, COMPANY, "older", AT)

        await upgrade(as_owner, "head")
        await conn.execute(add, uuid7(), "newer", AT)

        rows = await conn.fetch("SELECT name, track_days FROM company")
    finally:
        await conn.close()
    assert dict(map(tuple, rows)) == {"older": None, "newer": 60}


async def test_a_company_that_is_there_has_no_alerts_before_it_chooses_some(
    older: tuple[str, str],
) -> None:
    as_owner, as_superuser = older
    add = """
        INSERT INTO company (company_id, name, time_zone, buffer_max_s, shift_max_s,
                             erasure_grace_s, created_at)
        VALUES ($1, 'older', 'Asia/Almaty', 259200, 50400, 604800, $2)
        """
    await upgrade(as_owner, "0030")
    conn = await asyncpg.connect(as_superuser)
    try:
        await conn.execute(add, COMPANY, AT)

        await upgrade(as_owner, "head")
        await conn.execute(add, uuid7(), AT)

        rows = await conn.fetch(
            "SELECT company_id, late_min, off_route_m, no_signal_min, long_stop_min"
            "  FROM alert_limit"
        )
    finally:
        await conn.close()
    assert list(map(tuple, rows)) == [(COMPANY, None, None, None, None)]


async def test_who_has_a_route_that_is_ahead_has_had_it_since_the_upgrade_at_the_latest(
    older: tuple[str, str],
) -> None:
    """Of one that is under way that would take away what was driven before."""
    as_owner, as_superuser = older
    begin = datetime.now(UTC)
    routes = {
        "ahead": (DRIVER, begin + timedelta(hours=2)),
        "nobody's": (None, begin + timedelta(hours=2)),
        "about to begin": (DRIVER, begin + timedelta(minutes=30)),
        "under way": (DRIVER, begin - timedelta(hours=2)),
    }
    await upgrade(as_owner, "0034")
    conn = await asyncpg.connect(as_superuser)
    try:
        for name, (driver_id, starts_at) in routes.items():
            await conn.execute(
                """
                INSERT INTO route (company_id, route_id, date, starts_at, ends_at, driver_id,
                                   plan_version, stop_count, planned_m, name_sealed, plan_sealed,
                                   created_at)
                VALUES ($1, $2, $3, $4, $5, $6, 1, 2, 1, $7, '', $8)
                """,
                COMPANY,
                uuid7(),
                starts_at.date(),
                starts_at,
                starts_at + timedelta(hours=4),
                driver_id,
                name.encode(),
                AT,
            )

        await upgrade(as_owner, "head")

        given = dict(map(tuple, await conn.fetch("SELECT name_sealed, assigned_at FROM route")))
        await conn.execute("UPDATE route SET driver_id = NULL")  # as the release before does
        forced = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
        )
    finally:
        await conn.close()
    assert begin <= given.pop(b"ahead") <= datetime.now(UTC)
    assert set(given.values()) == {None}
    assert forced == []
