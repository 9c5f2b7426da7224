"""The load generator for an installation of one's own: against a real server, and its bounds."""

import asyncio
import re
import signal
import stat
import sys
from pathlib import Path

import pytest

from bench import drive, enrol
from bench.enrol import Api
from bench.http1 import Caller, Origin
from bench.ours import OursOnly, origin_of
from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.kit import db, tokens
from server.kit.ids import uuid7
from server.policies import service as policies
from tests import consents
from tests.bench.conftest import Installation
from tests.proofs import ROOT
from tests.world import NOW

PASSWORD = "amber-birch-cedar-delta-1234"  # noqa: S105 - of a test's own person
LOGIN = "main@load.example"


def figure(table: str, name: str) -> float:
    found = re.search(rf"^\| {re.escape(name)} +\| ([\d.]+)", table, re.MULTILINE)
    assert found is not None, table
    return float(found[1])


async def started(module: str, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *words,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def tokens_file(folder: Path, found: list[str]) -> str:
    file = folder / "tokens.txt"
    file.write_text("# device tokens\n" + "\n".join(found) + "\n", "utf-8")
    return str(file)


@pytest.mark.parametrize(("shape", "encoding"), [("columns", "zstd"), ("objects", "gzip")])
async def test_a_drive_stores_positions_of_now_and_ends_with_its_table(
    installation: Installation, tmp_path: Path, shape: str, encoding: str
) -> None:
    at = installation.at
    before = await at.owner.fetchval("SELECT coalesce(sum(count), 0) FROM chunk")
    file = tokens_file(tmp_path, [one.token for one in installation.fleet])
    words = ("--url", installation.url, "--tokens-file", file, "--every", "0.25", "--duration", "2")

    running = await started("bench.drive", *words, "--shape", shape, "--encoding", encoding)
    told, said = (text.decode() for text in await running.communicate())

    assert running.returncode == 0, said
    stored = await at.owner.fetchval("SELECT sum(count) FROM chunk") - before
    assert figure(told, "answered 200") == figure(told, "uploads due") == 32
    assert figure(told, "positions accepted") == stored == 320
    assert figure(told, "uploads asked for") == 16
    assert "p99 from due to stored" in told
    assert "of 2 s:" in said
    assert not any(one.token in told + said for one in installation.fleet)
    assert re.search(r"\b(43|76|77)\.\d{3}", told + said) is None  # where the drives are


async def test_ctrl_c_ends_a_drive_with_its_table(
    installation: Installation, tmp_path: Path
) -> None:
    file = tokens_file(tmp_path, [one.token for one in installation.fleet])
    running = await started(
        "bench.drive", "--url", installation.url, "--tokens-file", file, "--every", "0.25"
    )
    assert running.stderr is not None
    assert b" of 60 s:" in await running.stderr.readline()

    running.send_signal(signal.SIGINT)
    told, said = (text.decode() for text in await running.communicate())

    assert running.returncode == 0, said
    assert figure(told, "answered 200") >= 1
    assert "Traceback" not in said


async def test_drivers_who_are_nobody_are_enrolled_over_the_public_api(
    installation: Installation, tmp_path: Path
) -> None:
    await make_company(installation)
    file = tmp_path / "tokens.txt"
    running = await started(
        "bench.enrol",
        *("--url", installation.url, "--login", LOGIN, "--phones-from", "+77010000990"),
        *("--drivers", "2", "--tokens-file", str(file)),
    )

    _, said = await running.communicate(PASSWORD.encode() + b"\n")

    assert running.returncode == 0, said.decode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().split()) == 2
    words = ("--url", installation.url, "--tokens-file", str(file), "--every", "1")
    running = await started("bench.drive", *words, "--duration", "1", "--positions", "3")
    told, _ = await running.communicate()
    # Positions from before the consent was given are refused, as those of any phone.
    assert figure(told.decode(), "answered 200") == 2


async def make_company(installation: Installation) -> None:
    at = installation.at
    made, invitation = await accounts.create_company(
        at.pool,
        at.vault,
        name="Load",
        time_zone="Asia/Almaty",
        main_user=NewMember(
            role=Role.MAIN_USER, name="Main User", email=LOGIN, phone=None, locale=Locale.EN
        ),
        erasure_grace_s=0,
        now=NOW,
    )
    async with db.tenant(at.pool, made.company_id) as conn:
        await policies.set_controller(
            conn,
            made.company_id,
            business_number=consents.BIN,
            privacy_contact=consents.CONTACT,
            now=NOW,
        )
        await policies.ship(conn, made.company_id, NOW)
    caller = await Caller.connected(Origin(host="127.0.0.1", port=installation.served.port))
    accepted = {"code": invitation.code, "password": PASSWORD}
    await Api(caller).call("POST", "/v1/invitations/accept", accepted)
    caller.close()


# ---- what it refuses


@pytest.mark.parametrize(
    "url", ["http://jolda.example", "http://10.0.0.7:8080", "http://[2001:db8::1]"]
)
def test_another_machine_is_never_loaded_in_clear_text(url: str) -> None:
    with pytest.raises(OursOnly, match="https"):
        origin_of(url, is_mine=True)


def test_another_machine_is_loaded_only_by_its_owners_word() -> None:
    with pytest.raises(OursOnly, match="--yes-this-is-mine"):
        origin_of("https://jolda.example", is_mine=False)

    assert origin_of("https://jolda.example", is_mine=True).tls is not None
    assert origin_of("http://localhost:8080", is_mine=False).tls is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--duration", "3601"), "--duration"),
        (("--duration", "0"), "--duration"),
        (("--every", "0.00001"), "5000 uploads a second"),
        (("--every", "nan"), "5000 uploads a second"),
        (("--positions", "1001"), "--positions"),
        (("--drivers", "3"), "--drivers"),
    ],
)
def test_a_drive_is_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    file = tokens_file(tmp_path, [tokens.mint("jd", uuid7())[0] for _ in range(2)])

    status = drive.main(("--url", "http://127.0.0.1:1", "--tokens-file", file, *words))

    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["js", "ja"])
def test_a_token_that_is_no_devices_is_neither_used_nor_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    token, _ = tokens.mint(kind, uuid7())

    status = drive.main(
        ("--url", "http://127.0.0.1:1", "--tokens-file", tokens_file(tmp_path, [token]))
    )

    told = capsys.readouterr()
    assert status == 2
    assert "Token 1" in told.err
    assert token not in told.err + told.out


def test_tokens_are_never_written_over_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("mine")
    monkeypatch.setattr(enrol, "_password", lambda: "")

    words = ("--url", "http://127.0.0.1:1", "--login", LOGIN, "--phones-from", "+77010000990")
    status = enrol.main((*words, "--tokens-file", str(file)))

    assert status == 2
    assert file.read_text() == "mine"
    assert "exists" in capsys.readouterr().err
