"""A real PostgreSQL for every test that stores: one server per run, one pair of databases per
worker, copied from a migrated template and emptied after each test."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from server.databases import Opened
from server.kek.claim import disclaim
from server.kek.key_file import load
from server.kit import localpg
from server.kit.db import ROLE_APP, ROLE_COMMITTER, ROLE_KEYS, Pool, pool
from server.kit.migrate import migrate
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.clauses.plugin import (  # noqa: F401 - pytest finds its hooks here
    pytest_addoption,
    pytest_collection_finish,
    pytest_runtest_makereport,
)
from tests.world import NOW, World

DSN_KEY = "jolda_postgres"

# How long an example takes depends on what else the machine does: no test fails by it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """The DSNs of one pair of databases, as the owner."""

    main: str
    keys: str
    admin: str


class Cluster:
    """The run's PostgreSQL, owned by the controller (or by the only process)."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._folder = tempfile.TemporaryDirectory(prefix="jolda-test-")

    def start(self) -> str:
        folder = Path(self._folder.name)
        folder.chmod(0o755)

        async def up() -> str:
            server = await self._stack.enter_async_context(
                localpg.run(folder / "postgres", unsafe_for_tests=True)
            )
            admin = await asyncpg.connect(server.dsn())
            for schema in ("main", "keys"):
                await admin.execute(f"CREATE DATABASE template_{schema}")
                await migrate(server.dsn(f"template_{schema}"), schema)
            await admin.close()
            return server.dsn("postgres")

        return self._loop.run_until_complete(up())

    def stop(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()
        self._folder.cleanup()


def pytest_configure(config: Any) -> None:
    if hasattr(config, "workerinput"):
        os.environ[DSN_KEY] = config.workerinput[DSN_KEY]


def pytest_configure_node(node: Any) -> None:
    node.workerinput[DSN_KEY] = _cluster_dsn(node.config)


def pytest_unconfigure(config: Any) -> None:
    cluster = getattr(config, "jolda_cluster", None)
    if cluster is not None:
        cluster.stop()
        os.environ.pop(DSN_KEY, None)


def _cluster_dsn(config: Any) -> str:
    if DSN_KEY not in os.environ:
        config.jolda_cluster = Cluster()
        os.environ[DSN_KEY] = config.jolda_cluster.start()
    return os.environ[DSN_KEY]


@pytest.fixture(scope="session")
def server_dsn(request: pytest.FixtureRequest) -> str:
    """The DSN of the run's server, as its superuser."""
    return _cluster_dsn(request.config)


async def copy_databases(server_dsn: str, suffix: str) -> Databases:
    """Copy the migrated templates; the caller drops them (or the run's end does)."""
    admin = await asyncpg.connect(_dsn(server_dsn, "postgres"))
    for schema in ("main", "keys"):
        await admin.execute(
            f"CREATE DATABASE {schema}_{suffix} TEMPLATE template_{schema} STRATEGY file_copy"
        )
    await admin.close()
    return Databases(
        main=_dsn(server_dsn, f"main_{suffix}"),
        keys=_dsn(server_dsn, f"keys_{suffix}"),
        admin=_dsn(server_dsn, "postgres"),
    )


def _dsn(server_dsn: str, database: str) -> str:
    return server_dsn.replace("/postgres?", f"/{database}?")


@pytest.fixture(scope="session")
async def databases(server_dsn: str, worker_id: str) -> Databases:
    return await copy_databases(server_dsn, worker_id)


@pytest.fixture(scope="session")
async def owner(databases: Databases) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection as the owner of ``main``, past row-level security: to look at what is there."""
    conn = await asyncpg.connect(databases.main)
    yield conn
    await conn.close()


@pytest.fixture(scope="session")
async def keys_owner(databases: Databases) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await asyncpg.connect(databases.keys)
    yield conn
    await conn.close()


@pytest.fixture(scope="session")
async def app_pool(databases: Databases) -> AsyncIterator[Pool]:
    """Sessions of the application's role on ``main``."""
    async with pool(databases.main, role=ROLE_APP) as opened:
        yield opened


@pytest.fixture(scope="session")
async def committer_pool(databases: Databases) -> AsyncIterator[Pool]:
    async with pool(databases.main, role=ROLE_COMMITTER) as opened:
        yield opened


@pytest.fixture(scope="session")
async def keys_pool(databases: Databases) -> AsyncIterator[Pool]:
    async with pool(databases.keys, role=ROLE_KEYS) as opened:
        yield opened


@pytest.fixture(scope="session")
def kek_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "kek"


@pytest.fixture
async def empty(
    owner: "asyncpg.Connection[asyncpg.Record]",
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    kek_file: Path,
) -> AsyncIterator[None]:
    """Leave both databases empty for the next test: TRUNCATE would take 30 times longer."""
    yield
    for conn in (owner, keys_owner):
        await conn.execute(await _deletes(conn))
    # The next test's installation is another one, with the same KEK.
    disclaim(kek_file)


async def _deletes(conn: "asyncpg.Connection[asyncpg.Record]") -> str:
    tables = await conn.fetch(
        "SELECT format('DELETE FROM %I.%I', schemaname, tablename) AS statement FROM pg_tables"
        " WHERE schemaname IN ('public', 'jobs') AND tablename <> 'alembic_version'"
    )
    # The owner is a superuser here: foreign keys need not be followed to empty everything.
    return ";".join(
        (
            "SET session_replication_role = replica",
            *(row["statement"] for row in tables),
            "RESET session_replication_role",
        )
    )


@pytest.fixture
async def vault(empty: None, keys_pool: Pool, kek_file: Path) -> Vault:  # noqa: ARG001 - for its end
    return await open_vault(keys_pool, load(kek_file), NOW)


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]") -> World:
    """A company with a driver who gave every consent and is on shift, made without HTTP."""
    return await World.make(vault=vault, pool=app_pool, owner=owner)


@pytest.fixture
def opened(databases: Databases, world: World, keys_pool: Pool) -> Opened:
    """What the server and its jobs work with."""
    return Opened(
        dsn=databases.main,
        keys_dsn=databases.keys,
        pool=world.pool,
        keys_pool=keys_pool,
        vault=world.vault,
    )
