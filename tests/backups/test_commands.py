"""``jolda backup`` and ``jolda restore``, as an operator types them."""

import argparse
import shutil
from asyncio import Event
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import recovery
from server import settings as settings_of
from server.backups.model import BackupRefused
from tests.backups.conftest import unheard
from tests.test_commands import folder, jolda, told


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with folder() as made:
        done = jolda(
            *("company", "create", "--name", "Aral Freight", "--main-user-name", "Boss"),
            *("--main-user-email", "boss@aral.example"),
            home=made,
        )
        assert done.returncode == 0, done.stderr
        yield made


def kek_carried(there: Path, home: Path) -> None:
    """Do what the operator does with the copy of the KEK."""
    (there / "keys").mkdir(mode=0o700)
    shutil.copy(home / "keys" / "kek", there / "keys" / "kek")


@pytest.fixture(scope="module")
def backup(home: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = str(tmp_path_factory.mktemp("backups") / "today")
    # As after a minute of serving, the keys have heard of the company's ledger.
    done = jolda("restore", "reconcile", "--all", home=home)
    assert done.returncode == 0, done.stderr
    done = jolda("backup", made, home=home)
    assert done.returncode == 0, done.stderr
    assert "main: " in done.stdout
    assert "Now keep the two apart" in done.stdout
    return made


def test_a_lost_machine_is_made_again_from_the_backup_and_the_kek(home: Path, backup: str) -> None:
    with folder() as there:
        kek_carried(there, home)
        for words in (("restore", backup, "--keys"), ("restore", backup, "--main")):
            done = jolda(*words, home=there)
            assert done.returncode == 0, done.stderr
        done = jolda("restore", "reconcile", "--dry-run", home=there)
        assert done.returncode == 0, done.stderr
        assert "Nothing was changed. To do it, run: jolda restore reconcile" in done.stdout
        done = jolda("restore", "reconcile", home=there)
        assert done.returncode == 0, done.stderr
        assert "all that was set are those of the backup, but for" in done.stdout
        # Both may lack what came after the backup.
        assert "Every consent was taken back" in done.stdout
        done = jolda("ledger", "verify", home=there)
        assert done.returncode == 0, done.stderr
        assert "sound" in done.stdout


def test_main_alone_is_restored_beside_the_keys_of_today(home: Path, backup: str) -> None:
    assert "main is not empty" in told(jolda("restore", backup, "--main", home=home))

    done = jolda("restore", backup, "--main", "--set-aside", home=home)

    assert done.returncode == 0, done.stderr
    assert "The database main is kept as main_before_" in done.stdout
    # Its ledger ends where the keys have heard of it: only the mark tells that it was restored.
    assert (
        "All shifts, sessions and invitations ended"
        in jolda("restore", "reconcile", home=home).stdout
    )
    done = jolda("restore", "reconcile", home=home)
    assert "there is nothing to reconcile" in done.stdout
    done = jolda("restore", "reconcile", "--all", home=home)
    assert "All shifts, sessions and invitations ended" in done.stdout
    done = jolda("ledger", "verify", home=home)
    assert "sound" in done.stdout


@pytest.fixture(scope="module")
def damaged(backup: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("backups") / "damaged"
    shutil.copytree(backup, made)
    for part in ("main", "keys"):
        with (made / part / "dump").open("ab") as dump:
            dump.write(b"more")
    return str(made)


def test_nothing_is_set_aside_for_what_is_no_backup(home: Path, damaged: str) -> None:
    for which in ("--keys", "--main"):
        for place, sentence in (
            ("/nonexistent", "holds no whole backup"),
            (damaged, "not what was signed"),
        ):
            done = jolda("restore", place, which, "--set-aside", home=home)
            assert sentence in told(done)
            assert "is kept as" not in done.stdout

    done = jolda("ledger", "verify", home=home)
    assert done.returncode == 0, done.stderr
    assert "sound" in done.stdout


def test_without_the_kek_nothing_is_restored(backup: str) -> None:
    with folder() as there:
        sentence = told(jolda("restore", backup, "--keys", home=there))

    assert "KEK" in sentence


def test_a_backup_beside_the_kek_is_refused(home: Path) -> None:
    sentence = told(jolda("backup", str(home / "backups"), home=home))

    assert "beside the KEK" in sentence


@pytest.mark.parametrize(
    "words",
    [
        ("somewhere",),
        ("reconcile", "--main"),
        ("reconcile", "--keys", "--set-aside"),
        ("reconcile", "--set-aside"),
        ("somewhere", "--main", "--dry-run"),
        ("somewhere", "--main", "--all"),
    ],
)
async def test_what_to_restore_has_to_be_said(words: tuple[str, ...], tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    recovery.add_commands(parser.add_subparsers(), say=unheard)
    chosen = parser.parse_args(["restore", *words])

    with pytest.raises(BackupRefused, match="Name a folder with --main or with --keys"):
        await chosen.command(chosen, settings_of.read({"JOLDA_HOME": str(tmp_path)}), Event())
