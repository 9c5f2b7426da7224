"""What an operator types, in processes of its own: one clear sentence, nothing left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.kit import localpg
from server.kit.localpg import LocalPostgresError

TOP = Path(__file__).parents[1]
READY_S_MAX = 60.0
STOP_S_MAX = 10.0
PASSWORD = "a-long-enough-one"  # noqa: S105 - of a database that this test throws away


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that the database's own user may enter, which root's tmp_path is not."""
    made = Path(tempfile.mkdtemp(prefix="jolda-home-", dir="/var/tmp"))
    made.chmod(0o711)
    yield made
    with suppress(LocalPostgresError):
        localpg.remove(made / "postgres")
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One JOLDA_HOME for all: making a database takes longer than the rest together."""
    with folder() as made:
        yield made


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(home: Path, **settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    ports = {"JOLDA_PORT": str(free_port()), "JOLDA_OPS_PORT": str(free_port())}
    unsafe = {"JOLDA_ALLOW_UNSAFE_POSTGRES": "for-tests-only"}
    declared = {"JOLDA_STORAGE_COUNTRY": "KZ"} if "DATABASE_URL" in settings else {}
    return kept | ports | unsafe | declared | {"JOLDA_HOME": str(home)} | settings


def jolda(*words: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "server", *words],
        cwd=TOP,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=READY_S_MAX,
        check=False,
    )


@contextmanager
def serving(home: Path, *words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Start a server and wait until it says that it is ready."""
    with subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "server", *words],
        cwd=TOP,
        env=environment(home, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if "Ready." in line:
                    break
            else:
                pytest.fail(f"never ready: {''.join(lines)}")
            yield process
        finally:
            process.kill()


def postgres_of(home: Path) -> list[int]:
    """Return the postmasters that run on the folder's data."""
    data = (home / "postgres").resolve()
    found = []
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        words = process.info["cmdline"] or []
        if str(data) in words:
            found.append(process.info["pid"])
    return found


def told(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """Return the one sentence of a failed command."""
    assert done.returncode == status, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("jolda: ")
    return lines[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(home: Path, number: signal.Signals) -> None:
    with serving(home, "serve") as process:
        assert len(postgres_of(home)) == 1

        process.send_signal(number)

        assert process.wait(STOP_S_MAX) == 0
    assert postgres_of(home) == []


def test_kill_9_leaves_no_postgres_and_the_next_start_recovers(home: Path) -> None:
    with serving(home, "serve") as process:
        (postmaster,) = [psutil.Process(pid) for pid in postgres_of(home)]

        process.kill()

        postmaster.wait(STOP_S_MAX)
    with serving(home, "serve") as process:
        process.terminate()
        assert process.wait(STOP_S_MAX) == 0


def test_the_death_of_the_parent_stops_the_server(home: Path) -> None:
    starter = (
        "import subprocess, sys; process = subprocess.Popen([sys.executable, '-m', 'server',"
        " 'serve']); print(process.pid, flush=True); process.wait()"
    )
    with subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", starter],
        cwd=TOP,
        env=environment(home, JOLDA_STOP_WITH_PARENT="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        for line in parent.stdout:
            if "Ready." in line:
                break

        parent.kill()

        server.wait(STOP_S_MAX)
    assert postgres_of(home) == []


def test_a_second_start_on_the_same_folder_is_told(home: Path) -> None:
    with serving(home, "serve"):
        sentence = told(jolda("serve", home=home))

    assert "already running" in sentence


def test_a_taken_port_is_told_before_anything_is_started(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        sentence = told(jolda("demo", home=home, JOLDA_PORT=str(port)))

    assert f"Port {port} on 127.0.0.1 is taken" in sentence


def test_an_unreachable_database_is_told_without_its_password(home: Path) -> None:
    nowhere = f"postgresql://jolda:canary-password@127.0.0.1:{free_port()}/main"

    done = jolda("serve", home=home, DATABASE_URL=nowhere, KEYS_DATABASE_URL=nowhere)

    assert "DATABASE_URL" in told(done)
    assert "canary" not in done.stdout + done.stderr


def test_one_database_alone_is_told(home: Path) -> None:
    done = jolda("serve", home=home, DATABASE_URL="postgresql://127.0.0.1/main")

    assert "KEYS_DATABASE_URL" in told(done)


@pytest.mark.proves("relog-service:8.5")
def test_databases_whose_country_nobody_declared_are_told(home: Path) -> None:
    nowhere = f"postgresql://127.0.0.1:{free_port()}/main"
    named = {"DATABASE_URL": nowhere, "KEYS_DATABASE_URL": nowhere}

    done = jolda("serve", home=home, JOLDA_STORAGE_COUNTRY="", **named)

    assert "Set JOLDA_STORAGE_COUNTRY" in told(done)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("JOLDA_PORT", "eighty"),
        ("JOLDA_PORT", "65536"),
        ("JOLDA_PUBLIC_ORIGIN", "jolda"),
        ("JOLDA_STORAGE_COUNTRY", "KK"),
        ("JOLDA_STORAGE_COUNTRY", "kz"),
    ],
)
def test_a_setting_that_cannot_be_is_named(home: Path, setting: str, value: str) -> None:
    assert setting in told(jolda("serve", home=home, **{setting: value}))


def test_data_of_another_version_are_told_and_left_alone() -> None:
    with folder() as home:
        data = home / "postgres"
        data.mkdir(mode=0o700)
        (data / "PG_VERSION").write_text("13\n")

        sentence = told(jolda("serve", home=home))

        assert "13" in sentence
        assert (data / "PG_VERSION").read_text() == "13\n"
        assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_folder_that_cannot_be_written_is_told() -> None:
    told(jolda("serve", home=Path("/proc/jolda")))


def test_a_kek_that_others_may_read_is_refused(home: Path, tmp_path: Path) -> None:
    kek = tmp_path / "kek"
    kek.write_bytes(bytes(32))
    kek.chmod(0o644)

    sentence = told(jolda("serve", home=home, JOLDA_KEK_FILE=str(kek)))

    assert "chmod 600" in sentence


def test_the_first_company_and_its_main_user_are_made_by_one_command(home: Path) -> None:
    done = jolda(
        *("company", "create", "--name", "Aral Freight", "--time-zone", "Asia/Almaty"),
        *("--main-user-name", "Aigerim", "--main-user-email", "aigerim@aral.example"),
        home=home,
    )
    assert done.returncode == 0, done.stderr
    code = next(line for line in done.stdout.splitlines() if line.startswith("ji_"))
    port = free_port()

    with serving(home, "serve", JOLDA_PORT=str(port)):
        accepted = post(port, "/v1/invitations/accept", code=code, password=PASSWORD)
        session = post(
            port,
            "/v1/session",
            login="Aigerim@aral.example",
            password=PASSWORD,
            transport="bearer",
        )

    assert accepted["role"] == "main_user"
    assert session["company"]["name"] == "Aral Freight"


def test_the_demo_is_served_to_this_machine_only(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "company.json").write_text("{}")

    for host in ("0.0.0.0", "::"):  # noqa: S104 - what is refused
        sentence = told(jolda("serve", home=tmp_path, JOLDA_HOST=host))
        assert "holds the demo" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_crash_leaves_no_memory_on_the_disk() -> None:
    asked = (
        "import ctypes, resource; from server.__main__ import leave_no_core; leave_no_core();"
        " print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"
    )
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", asked], cwd=TOP, capture_output=True, text=True, check=True
    )

    assert done.stdout == "(0, 0) 0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_serving_process_writes_no_core(home: Path) -> None:
    with serving(home, "serve") as process:
        (postmaster,) = postgres_of(home)
        for pid in (process.pid, postmaster):
            limits = Path(f"/proc/{pid}/limits").read_text("ascii").splitlines()
            (core,) = [line.split()[4:6] for line in limits if line.startswith("Max core file")]
            assert core == ["0", "0"]


def post(port: int, path: str, **body: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        found: dict[str, Any] = json.load(answer)
    return found


def test_clean_removes_what_jolda_made_and_nothing_else() -> None:
    with folder() as home:
        (home / "letters").mkdir()
        (home / "letters" / "mine.txt").write_text("dear")
        (home / "keys").mkdir()
        # What an exchange leaves for its next step, and a crash anywhere in it.
        for name in ("kek", "kek.next", ".kek.lock", ".kek.installation", ".kek.0a1b2c3d"):
            (home / "keys" / name).write_bytes(bytes(32))
        (home / "demo").mkdir()
        (home / "demo" / "company.json").write_text("{}")

        done = jolda("clean", home=home)

        assert done.returncode == 0, done.stderr
        assert [path.name for path in home.iterdir()] == ["letters"]
        assert (home / "letters" / "mine.txt").read_text() == "dear"


def test_clean_keeps_the_key_of_a_database_that_is_not_embedded(home: Path) -> None:
    elsewhere = "postgresql://127.0.0.1/main"

    done = jolda("clean", home=home, DATABASE_URL=elsewhere, KEYS_DATABASE_URL=elsewhere)

    assert "DATABASE_URL" in told(done)
    assert (home / "keys" / "kek").exists()
