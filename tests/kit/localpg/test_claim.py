"""The embedded PostgreSQL must never outlive us, lose data, or be shared."""

# These tests look at files and processes while nothing else is served by their loop.
# ruff: noqa: ASYNC220, ASYNC240
# ruff: noqa: S603  (commands of our own words)

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import asyncpg
import psutil
import pytest

from server.kit import localpg
from server.kit.localpg import LocalPostgresError, Server
from tests.kit.localpg.helpers import ROOT, ask, eventually, gone_within_s, parent, quick

# ---- stopping and starting again


async def answers_again(server: Server) -> object:
    """Return what the table holds as soon as the server answers."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await ask(server, "SELECT n FROM kept")
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.02)


async def test_a_restart_keeps_the_data_and_leaves_nothing_running(data: Path) -> None:
    async with localpg.run(data, say=lambda _: None) as first:
        await ask(first, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")

    async with localpg.run(data, say=lambda _: None) as second:
        assert await ask(second, "SELECT n FROM kept") == 7

    assert not psutil.pid_exists(first.pid)
    assert not first.socket.exists()
    assert not second.socket.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_it_stops_with_a_parent_that_is_killed(data: Path, number: signal.Signals) -> None:
    with parent(data) as (process, pid, socket):
        os.kill(process.pid, number)
        assert gone_within_s(pid, 10)

    async with quick(data) as server:
        assert await ask(server, "SELECT 1") == 1

    assert not socket.exists()


async def test_after_its_own_death_it_is_started_again(data: Path) -> None:
    async with localpg.run(data, say=lambda _: None) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        dead, address = server.pid, server.dsn()
        for _ in range(3):
            os.kill(server.pid, signal.SIGKILL)
            assert await answers_again(server) == 7
        assert server.pid != dead
        assert server.dsn() == address
        last = server.pid

    assert gone_within_s(last, 10)


async def test_it_is_tried_until_it_can_be_started(data: Path) -> None:
    async with localpg.run(data, say=lambda _: None) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        control, away = data / "global" / "pg_control", data / "global" / "pg_control.away"
        control.rename(away)
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.sleep(1)
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await ask(server, "SELECT 1")

        away.rename(control)

        assert await answers_again(server) == 7


async def test_one_that_cannot_be_started_again_does_not_keep_us_from_stopping(data: Path) -> None:
    async with quick(data) as server:
        (data / "global" / "pg_control").unlink()
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.sleep(0.5)

    assert gone_within_s(server.pid, 1)


async def test_it_recovers_when_both_die_and_the_pid_is_reused(data: Path) -> None:
    with parent(data) as (process, pid, socket):
        os.kill(pid, signal.SIGKILL)
        process.kill()
    noted = data / "postmaster.pid"
    noted.write_text(noted.read_text().replace(str(pid), str(os.getppid()), 1))

    async with quick(data) as server:
        assert await ask(server, "SELECT 1") == 1

    assert not socket.exists()


async def test_a_start_ends_what_an_earlier_one_left_running(data: Path) -> None:
    with parent(data) as (process, pid, _):
        os.kill(pid, signal.SIGSTOP)  # so it does not notice that its parent dies
        process.kill()
    asyncio.get_running_loop().call_later(0.5, os.kill, pid, signal.SIGCONT)

    async with quick(data) as server:
        assert server.pid != pid

    assert gone_within_s(pid, 10)


# ---- one at a time


async def test_a_second_start_says_who_was_first(data: Path) -> None:
    sentence = f"Another Jolda is already running on {data} (pid {os.getpid()})."
    async with quick(data) as first:
        with pytest.raises(LocalPostgresError) as refused:
            await quick(data).__aenter__()
        with pytest.raises(LocalPostgresError):
            localpg.remove(data)

        assert str(refused.value) == sentence
        assert await ask(first, "SELECT 1") == 1


async def test_a_postgres_started_by_hand_is_left_alone(data: Path) -> None:
    async with quick(data) as server:
        command = psutil.Process(server.pid).cmdline()[:3]
        owner = data.stat().st_uid
    socket = Path(tempfile.mkdtemp(prefix="hand-", dir="/tmp"))
    os.chown(socket, owner, -1)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={socket}"]
    with subprocess.Popen(
        [*command, *options], user=owner if ROOT else None, cwd="/", stderr=subprocess.DEVNULL
    ) as by_hand:
        try:
            assert eventually((socket / ".s.PGSQL.5432").exists, 10)

            with pytest.raises(LocalPostgresError, match=rf"already running .*pid {by_hand.pid}\)"):
                await quick(data).__aenter__()

            assert by_hand.poll() is None
        finally:
            by_hand.send_signal(signal.SIGINT)
    shutil.rmtree(socket)


# ---- removing


async def test_remove_leaves_nothing_and_can_be_repeated(data: Path) -> None:
    async with quick(data):
        pass

    localpg.remove(data)
    localpg.remove(data)

    assert list(data.parent.iterdir()) == []


def test_remove_makes_no_folder(data: Path) -> None:
    localpg.remove(data / "absent" / "postgres")

    assert not data.exists()
