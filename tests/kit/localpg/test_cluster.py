"""The embedded PostgreSQL, with its real programs: as promised, and recovering."""

# These tests look at files and processes while nothing else is served by their loop.
# ruff: noqa: ASYNC110, ASYNC220, ASYNC240
# ruff: noqa: S603  (commands of our own words)

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from server.kit import localpg
from server.kit.localpg import LocalPostgresError, Server
from server.kit.localpg.place import Place
from tests.kit.localpg.helpers import PARENT, TOP, ask, eventually, quick

# ---- what it is


async def test_it_is_private_and_set_up_as_promised(data: Path) -> None:
    async with quick(data) as server:
        settings = {
            name: await ask(server, f"SHOW {name}")
            for name in (
                "listen_addresses",
                "server_encoding",
                "data_checksums",
                "TimeZone",
                "jit",
                "log_error_verbosity",
                "log_min_error_statement",
                "log_parameter_max_length",
                "log_parameter_max_length_on_error",
            )
        }
        locale = await ask(
            server,
            "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database "
            "WHERE datname = 'template1'",
        )
        modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (server.data, server.socket)]
        user = psutil.Process(server.pid).uids().effective

    assert settings == {
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "jit": "off",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
    assert locale == "b C.UTF-8"
    assert modes == [0o700, 0o700]
    assert user != 0


@pytest.mark.parametrize(
    ("unsafe", "expected"), [(False, "on on on 100"), (True, "off off off 400")]
)
async def test_only_tests_trade_safety_for_speed(
    data: Path,
    unsafe: bool,  # noqa: FBT001  (a test's parameter)
    expected: str,
) -> None:
    async with localpg.run(data, unsafe_for_tests=unsafe, say=lambda _: None) as server:
        found = [
            await ask(server, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "full_page_writes", "max_connections")
        ]

    assert found == expected.split()


async def test_the_log_never_shows_a_row(data: Path) -> None:
    async with quick(data) as server:
        await ask(server, "CREATE TABLE t (a text PRIMARY KEY, n int CHECK (n > 0))", "SELECT 1")
        await ask(server, "INSERT INTO t VALUES ('secret', 1)", "SELECT 1")
        for statement in (
            "INSERT INTO t VALUES ('secret', 2)",
            "INSERT INTO t VALUES ('secret2', -1)",
            "SELECT 'secret'::int",
            "DO $$ BEGIN RAISE WARNING 'secret'; RAISE 'secret'; END $$",
            "secret",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await ask(server, statement)
        with pytest.raises(asyncpg.PostgresError):
            await asyncpg.connect(server.dsn(user="secret"))

    # The role of a refused log-in is no row: it stays, as a trace of an attack.
    lines = [line for line in server.log.read_text().splitlines() if "secret" in line]
    assert [line.split("] ", 1)[1] for line in lines] == ['FATAL:  role "secret" does not exist']


async def test_a_long_log_is_put_aside(data: Path) -> None:
    log, old = data.with_name("postgres.log"), data.with_name("postgres.log.1")
    log.write_bytes(b"x" * (10 * 1024 * 1024 + 1))

    async with quick(data):
        pass

    assert log.stat().st_size < 10_000
    assert old.stat().st_size > 10_000_000


def test_the_address_is_quoted() -> None:
    place = Place(asked=Path(), data=Path(), programs=Path(), account=None)
    server = Server(place, Path("/run/a b"), {})

    assert server.dsn("a/b", "c@d") == "postgresql://c%40d@/a%2Fb?host=/run/a%20b"


def test_the_other_programs_of_the_wheel_are_found() -> None:
    assert os.access(localpg.binary("pg_dump"), os.X_OK)
    with pytest.raises(LocalPostgresError, match="no program named pg_dumb"):
        localpg.binary("pg_dumb")


# ---- half-way


async def test_an_initdb_that_was_killed_is_begun_anew(data: Path) -> None:
    half = "postgres.new-*/PG_VERSION"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data)], cwd=TOP) as process:
        assert eventually(lambda: any(data.parent.glob(half)), 10)
        process.kill()
    assert not data.exists()

    async with quick(data) as server:
        assert await ask(server, "SELECT 1") == 1

    assert not list(data.parent.glob(half))


async def test_a_start_given_up_leaves_nothing(data: Path) -> None:
    starting = asyncio.create_task(quick(data).__aenter__())
    while not list(data.parent.glob("postgres.new-*/PG_VERSION")):
        await asyncio.sleep(0.01)
    starting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await starting

    assert [path.name for path in data.parent.iterdir()] == ["postgres.lock"]
