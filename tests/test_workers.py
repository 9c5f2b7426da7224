"""Several processes on one port: started, watched, replaced, ended; nothing left behind."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from server import running
from server.settings import Settings
from tests.conftest import Databases
from tests.test_commands import folder, postgres_of
from tests.workers import (
    READY_S_MAX,
    STOP_S_MAX,
    Installation,
    fresh_databases,
    serving,
    starting,
    stopped,
)

WORKERS: Final = ("worker-1", "worker-2")
EVERY_PART: Final = ("main", "keys", *WORKERS, "jobs")
COUNTED: Final = 'jolda_http_requests_total{endpoint="read_session",method="GET",status="4xx"}'


@pytest.fixture(scope="module")
async def databases_of_workers(server_dsn: str) -> Databases:
    return await fresh_databases(server_dsn)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
async def installation(home: Path, databases_of_workers: Databases) -> AsyncIterator[Installation]:
    """One for all tests that leave it as they found it."""
    async with serving(home, databases_of_workers) as started:
        yield started


async def test_each_worker_answers_on_the_one_port(installation: Installation) -> None:
    for name in WORKERS:
        async with installation.http(name) as http, http.get("/v1/session") as answer:
            assert answer.status == 401


async def test_all_that_is_said_is_two_sentences(installation: Installation) -> None:
    said = [line.partition("] ")[2] for line in installation.lines[:2]]

    assert said[0].startswith(f"Serving on {installation.url} with 2 workers (health and metrics")
    assert said[1] == "Ready. Ctrl-C stops it.\n"


async def test_it_is_well_when_all_processes_are(installation: Installation) -> None:
    assert await installation.health() == (200, dict.fromkeys(EVERY_PART, "ok"))


@pytest.mark.parametrize("name", [*WORKERS, "jobs"])
async def test_a_process_that_stands_still_is_told_in_time(
    installation: Installation, name: str
) -> None:
    with stopped(installation.processes()[name]):
        async with asyncio.timeout(2.5):
            status, checks = await installation.health()

    assert status == 503
    assert checks == dict.fromkeys(EVERY_PART, "ok") | {name: "failed"}
    await installation.until_healthy()


async def test_the_figures_are_those_of_all_workers(installation: Installation) -> None:
    before = (await installation.figures()).get(COUNTED, 0.0)
    asked = 0
    for name in WORKERS:
        async with installation.http(name) as http:
            for _ in range(5):
                async with http.get("/v1/session") as answer:
                    assert answer.status == 401
                asked += 1

    figures = await installation.figures()

    # One more for each try to reach a certain worker.
    assert figures[COUNTED] - before >= asked + len(WORKERS)
    assert figures[COUNTED.replace("_requests_total", "_request_seconds_count")] == figures[COUNTED]
    for name in (*WORKERS, "jobs"):
        assert figures[f'process_resident_memory_bytes{{process="{name}"}}'] > 0


async def test_a_worker_that_was_killed_is_replaced_and_the_service_goes_on(
    installation: Installation,
) -> None:
    before = installation.processes()
    counted = (await installation.figures())[COUNTED]
    async with installation.http("worker-2") as other:
        before["worker-1"].kill()
        for _ in range(20):
            async with other.get("/v1/session") as answer:
                assert answer.status == 401
    # It takes a second until the next one is there.
    status, checks = await installation.health()
    assert (status, checks["worker-1"]) == (503, "failed")

    await installation.until_healthy()

    after = installation.processes()
    assert after["worker-1"].pid != before["worker-1"].pid
    assert {name: after[name].pid for name in ("worker-2", "jobs")} == {
        name: before[name].pid for name in ("worker-2", "jobs")
    }
    # What the killed one had counted was asked for just before, and stays.
    assert (await installation.figures())[COUNTED] >= counted + 20
    async with installation.http("worker-1") as http, http.get("/v1/session") as answer:
        assert answer.status == 401
    assert "worker-1 was ended by SIGKILL; starting it again." in installation.terminal


async def test_what_a_worker_counted_that_ended_in_order_stays(
    installation: Installation,
) -> None:
    async with installation.http("worker-1") as http:
        # From now on, until the next look in five seconds, nobody but the worker knows its count.
        counted = (await installation.figures())[COUNTED]
        for _ in range(50):
            async with http.get("/v1/session") as answer:
                assert answer.status == 401
        installation.processes()["worker-1"].terminate()
    await asyncio.sleep(1)
    await installation.until_healthy()

    assert (await installation.figures())[COUNTED] == counted + 50
    assert "worker-1 ended with status 0; starting it again." in installation.terminal


async def test_a_signal_without_a_name_ends_one_worker_only(installation: Installation) -> None:
    before = installation.processes()
    before["worker-2"].send_signal(signal.SIGRTMIN + 6)
    await asyncio.to_thread(before["worker-2"].wait, 5)
    await installation.until_healthy()

    assert installation.processes()["worker-1"].pid == before["worker-1"].pid
    assert "worker-2 was ended by signal 40; starting it again." in installation.terminal


async def test_the_job_runner_is_replaced_as_well(installation: Installation) -> None:
    before = installation.processes()["jobs"]

    before.kill()
    await asyncio.to_thread(before.wait, 5)
    await installation.until_healthy()

    assert installation.processes()["jobs"].pid != before.pid


async def test_a_killed_supervisor_leaves_nothing_behind(databases_of_workers: Databases) -> None:
    """Neither the processes that it started nor its PostgreSQL, nor anybody on the port."""
    embedded = {"DATABASE_URL": "", "KEYS_DATABASE_URL": ""}
    with folder() as home:
        async with serving(home, databases_of_workers, **embedded) as installation:
            processes = list(installation.processes().values())
            assert len(processes) == 3
            (postmaster,) = [psutil.Process(pid) for pid in postgres_of(home)]

            installation.process.kill()

            left = [*processes, postmaster]
            _, alive = await asyncio.to_thread(psutil.wait_procs, left, STOP_S_MAX)
            assert not alive
            assert postgres_of(home) == []
            port = int(installation.url.rpartition(":")[2])
            with socket.socket() as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(("127.0.0.1", port))


async def test_ctrl_c_ends_all(home: Path, databases_of_workers: Databases) -> None:
    async with serving(home, databases_of_workers) as installation:
        processes = list(installation.processes().values())

        installation.process.send_signal(signal.SIGINT)

        async with asyncio.timeout(STOP_S_MAX):
            assert await installation.process.wait() == 0
        assert not [process for process in processes if process.is_running()]
    assert installation.terminal.endswith("Stopping...\n")
    assert not [line for line in installation.lines if not line.startswith("[")]


async def test_a_worker_that_stands_still_does_not_hold_up_the_end(
    home: Path, databases_of_workers: Databases
) -> None:
    async with serving(home, databases_of_workers) as installation:
        processes = installation.processes()
        processes["worker-1"].suspend()

        installation.process.terminate()

        async with asyncio.timeout(STOP_S_MAX):
            assert await installation.process.wait() == 0
        assert not processes["worker-1"].is_running()


async def test_a_port_of_another_program_is_told(
    home: Path, databases_of_workers: Databases
) -> None:
    with socket.socket() as other:
        # Even one that shares its port would share it with us, and take half of our callers.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        said = await told(home, databases_of_workers, JOLDA_PORT=str(port))

    assert said == f"jolda: Port {port} on 127.0.0.1 is taken by another program.\n"


async def test_more_workers_than_postgres_has_connections_for_are_told(
    home: Path, databases_of_workers: Databases
) -> None:
    said = await told(home, databases_of_workers, JOLDA_WORKERS="64")

    assert said.startswith("jolda: JOLDA_WORKERS is 64, but the connections")
    assert "max_connections" in said
    assert said.count("\n") == 1


async def test_a_process_that_never_gets_ready_ends_all_and_is_told(
    home: Path, databases_of_workers: Databases, tmp_path: Path
) -> None:
    dies = "import os, sys\nif 'worker-2' in sys.orig_argv: os._exit(3)\n"
    (tmp_path / "sitecustomize.py").write_text(dies)

    said = await told(home, databases_of_workers, PYTHONPATH=str(tmp_path))

    lines = said.splitlines()
    assert lines[-1] == "jolda: worker-2 ended with status 3, 3 times before it was ready."
    assert not [line for line in lines if "Ready." in line]


async def test_why_a_process_cannot_start_is_told_in_its_own_words(
    home: Path, databases_of_workers: Databases, tmp_path: Path
) -> None:
    blind = (
        "import os, sys\nif 'jobs' in sys.orig_argv: os.environ['JOLDA_KEK_FILE'] = '/proc/kek'\n"
    )
    (tmp_path / "sitecustomize.py").write_text(blind)

    said = await told(home, databases_of_workers, PYTHONPATH=str(tmp_path))

    assert said.splitlines()[-1].startswith("jolda: jobs gave up (")
    assert "/proc/kek" in said


@pytest.mark.parametrize("command", ["worker", "jobs"])
async def test_a_part_is_not_started_by_hand(
    home: Path, databases_of_workers: Databases, command: str
) -> None:
    said = await told(home, databases_of_workers, command=command)

    assert said == "jolda: This is started by jolda serve: set JOLDA_WORKERS there.\n"


@pytest.mark.parametrize(
    ("workers", "of_one_address", "in_all"), [(1, 256, 8192), (2, 128, 4096), (3, 86, 2731)]
)
def test_the_connections_of_an_address_are_divided(
    home: Path, workers: int, of_one_address: int, in_all: int
) -> None:
    limits = running.limits_of(Settings(home=home, kek_file=home / "kek", workers=workers))

    assert limits.connections_per_address_max == of_one_address
    assert limits.connections_max == in_all


async def told(home: Path, databases: Databases, *, command: str = "serve", **settings: str) -> str:
    """Return what an installation that ends by itself said."""
    async with starting(home, databases, command=command, **settings) as installation:
        async with asyncio.timeout(READY_S_MAX):
            assert await installation.process.wait() == 1
    return installation.terminal
