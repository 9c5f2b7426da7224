"""A worker by itself, at the other end of its line: how it ends, and what it says before."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server import supervisor
from server.kit import children
from server.supervised import HEARD, Orders
from server.supervisor import ANSWER_S_MAX, Post
from tests.workers import TOP

# Its event loop never gets a turn again once it has begun.
STUCK = """
import asyncio, sys
from contextlib import asynccontextmanager
from server import settings, supervised

@asynccontextmanager
async def begin(*_):
    print("stuck", flush=True)
    while True:
        pass
    yield

supervised.DRAIN_S_MAX = 1
line = int(sys.argv[sys.argv.index("--line") + 1])
work = supervised.work(begin, settings.read({}), line, asyncio.Event(), told=())
asyncio.run(work)
"""
LOADED_S_MAX = 60.0
"""Of a machine that does much else beside."""
WORKER = ("-m", "server", "worker", "--name", "worker-1")


@contextmanager
def worker(
    home: Path, *command: str, **settings: str
) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket]]:
    """Start one that has no orders yet; give it and our end of its line."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with (
        ours,
        subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, *command, "--line", str(theirs.fileno())],
            cwd=TOP,
            env={"PATH": os.environ["PATH"], "JOLDA_HOME": str(home), **settings},
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        theirs.close()
        try:
            yield process, ours
        finally:
            process.kill()


def orders(port: int) -> bytes:
    """Return orders to work with a PostgreSQL that never answers."""
    dsn = f"postgresql://jolda:none@127.0.0.1:{port}/main"
    sent = Orders(main=dsn, keys=dsn, port=0, pool_max=10, keys_pool_max=2).message()
    return json.dumps(sent).encode() + b"\n"


def until_it_listens(process: "subprocess.Popen[bytes]") -> None:
    """Return once it has taken SIGTERM over: until then it only loads its code."""
    term = 1 << (signal.SIGTERM - 1)
    deadline = time.monotonic() + LOADED_S_MAX
    while True:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        if int(caught, 16) & term:
            return
        assert time.monotonic() < deadline, "it never listened"
        time.sleep(0.05)


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent.getsockname()[1]


def test_one_that_waits_for_its_orders_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    with worker(tmp_path, *WORKER) as (process, _):
        until_it_listens(process)

        process.send_signal(signal.SIGTERM)

        assert process.wait(5) == 0


def test_one_that_is_still_starting_ends_when_it_is_asked_to(
    tmp_path: Path, silent_port: int
) -> None:
    with worker(tmp_path, *WORKER) as (process, line):
        line.sendall(orders(silent_port))
        until_it_listens(process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)  # it waits for PostgreSQL

        process.send_signal(signal.SIGTERM)

        assert process.wait(5) == 0


def test_one_whose_loop_is_stuck_does_not_outlive_its_supervisor(
    tmp_path: Path, silent_port: int
) -> None:
    with worker(tmp_path, "-c", STUCK) as (process, line):
        line.sendall(orders(silent_port))
        assert process.stdout is not None
        assert process.stdout.readline() == b"stuck\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)  # the control: with a supervisor it goes on

        line.close()

        assert process.wait(5) == -signal.SIGALRM


def test_why_its_settings_cannot_be_read_is_told(tmp_path: Path, silent_port: int) -> None:
    with worker(tmp_path, *WORKER, JOLDA_KEK_FILE="/k", JOLDA_PORT="none") as (process, line):
        line.sendall(orders(silent_port))

        said = json.loads(line.makefile("rb").readline())

        assert said["refused"] == "JOLDA_PORT must be a whole number from 0 to 65535."
        assert process.wait(10) == 1


async def test_one_that_does_not_listen_holds_nobody_up_and_is_asked_again_later() -> None:
    child = await children.start([sys.executable, "-c", "import time; time.sleep(60)"])
    post = Post(name="worker-1", command="worker", child=child, is_ready=True)
    while child.drop_in({HEARD: ["links", "token", "a" * 10_000]}):
        pass

    began = time.monotonic()
    assert await post.how_it_is() is None

    assert time.monotonic() - began < ANSWER_S_MAX
    assert post.asked is None
    child.send_signal(signal.SIGKILL)
    await child.ended()


@pytest.mark.parametrize(("number", "named"), [(9, "SIGKILL"), (40, "signal 40")])
def test_every_signal_has_a_name(number: int, named: str) -> None:
    assert supervisor.how_it_ended(-number, None) == f"was ended by {named}"
