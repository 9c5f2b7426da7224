"""Serving needs no log-in that owns anything: the roles, granted to it, are enough."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from server import databases as databases_of
from server import running
from server.kit import revision
from server.kit.revision import SchemaUnreadable
from server.kit.web import utc_now
from server.settings import Settings
from tests.conftest import copy_databases
from tests.running import say_nothing, settings

ROLES = "jolda_app, jolda_committer, jolda_jobs, jolda_keys, jolda_rekeying"


@pytest.fixture
async def log_in(server_dsn: str) -> AsyncIterator[str]:
    """The name of a log-in that has been granted nothing."""
    name = f"log_in_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEROLE")
    yield name
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


@pytest.fixture
async def served(server_dsn: str, log_in: str, tmp_path: Path) -> Settings:
    """Settings of two databases of their own, as that log-in."""
    found = settings(tmp_path, await copy_databases(server_dsn, uuid4().hex))
    main, keys = (
        re.sub("//[^@]+@", f"//{log_in}@", dsn or "")
        for dsn in (found.database_url, found.keys_database_url)
    )
    return Settings(
        home=tmp_path, kek_file=found.kek_file, database_url=main, keys_database_url=keys,
        port=0, ops_port=0, allow_unsafe_postgres=True,
    )  # fmt: skip


async def test_a_log_in_with_the_roles_serves(
    server_dsn: str, log_in: str, served: Settings
) -> None:
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"GRANT {ROLES} TO {log_in}")
    await admin.close()

    async with databases_of.available(served, say=say_nothing) as dsns:
        await databases_of.refuse_outdated(dsns)
        code, _ = await running.create_company(
            served,
            dsns,
            running.NewCompany(
                name="Aral Freight",
                time_zone="Asia/Almaty",
                main_user_name="Aigerim",
                main_user_email="aigerim@aral.example",
                erasure_grace=timedelta(0),
            ),
            now=utc_now(),
        )
        async with (
            running.server(served, dsns, say=say_nothing) as server,
            ClientSession() as client,
        ):
            health = await client.get(f"{server.ops_address.url}/healthz")
            accepted = await client.post(
                f"{server.address.url}/v1/invitations/accept",
                json={"code": code, "password": "a-long-enough-one"},
            )

    assert (health.status, accepted.status) == (200, 200)


async def test_a_log_in_that_may_not_exchange_keys_is_told(
    server_dsn: str, log_in: str, served: Settings
) -> None:
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"GRANT {ROLES} TO {log_in}")
    await admin.execute(f"REVOKE jolda_rekeying FROM {log_in}")
    await admin.close()

    async with databases_of.available(served, say=say_nothing) as dsns:
        with pytest.raises(SchemaUnreadable, match="GRANT jolda_rekeying TO"):
            async with running.server(served, dsns, say=say_nothing):
                pass


async def test_a_log_in_from_before_keys_were_exchanged_may_do_so_after_migrating(
    server_dsn: str, log_in: str
) -> None:
    name = f"before_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    owner = await asyncpg.connect(server_dsn.replace("/postgres?", f"/{name}?"))
    *before, rekeying = sorted((revision.FOLDER / "keys").glob("000[1-4]*.sql"))
    await owner.execute("CREATE TABLE alembic_version ()")
    for file in before:
        await owner.execute(file.read_text())
    await owner.execute(f"GRANT jolda_keys TO {log_in}")

    # SET LOCAL: in a transaction, as every migration.
    async with owner.transaction():
        await owner.execute(rekeying.read_text())

    assert await owner.fetchval("SELECT pg_has_role($1, 'jolda_rekeying', 'MEMBER')", log_in)
    await owner.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_a_log_in_without_them_is_told(served: Settings) -> None:
    async with databases_of.available(served, say=say_nothing) as dsns:
        with pytest.raises(SchemaUnreadable, match="has not been granted"):
            await databases_of.refuse_outdated(dsns)
