"""A backup is whole, signed and of nobody else, or it is not restored."""

import json
import os
import re
import shutil
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.backups import programs, service
from server.backups.model import BackupRefused
from server.kek.key_file import load
from server.kek.model import KekUnusable
from server.kit.migrate import migrate
from tests.backups.conftest import Backups, unheard
from tests.conftest import Databases
from tests.world import NOW

MODES = {"dump": 0o600, "manifest.json": 0o600}


async def restore(backups: Backups, folder: Path) -> None:
    async with backups.empty() as dsn:
        await service.restore_main(dsn, backups.databases.keys, folder, say=unheard)


async def rows(dsn: str, table: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(dsn)
    try:
        # A table of the catalogue, never a caller's text.
        return await conn.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")  # noqa: S608
    finally:
        await conn.close()


async def test_every_row_is_in_it(backups: Backups, databases: Databases) -> None:
    folder = await backups.take()

    async with backups.restored(folder) as restored:
        tables = await restored.owner.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        for (table,) in tables:
            assert await rows(restored.dsn, table) == await rows(databases.main, table), table


async def test_its_parts_are_of_one_owner_and_say_what_they_are(backups: Backups) -> None:
    folder = await backups.take()

    for name in ("main", "keys"):
        part = folder / name
        assert {file.name: file.stat().st_mode & 0o777 for file in part.iterdir()} == MODES
        said = json.loads((part / "manifest.json").read_text("utf-8"))
        assert (said["database"], said["dump_bytes"]) == (
            name,
            str((part / "dump").stat().st_size),
        )
    assert (
        str(backups.world.company_id)
        in json.loads((folder / "main" / "manifest.json").read_text("utf-8"))["heads"]
    )


def read(file: Path) -> bytes:
    return file.read_bytes()


async def test_the_kek_is_in_no_part_of_it(backups: Backups, kek_file: Path) -> None:
    folder = await backups.take()

    key = read(kek_file)
    for part in ("main", "keys"):
        for name in MODES:
            content = read(folder / part / name)
            assert key not in content
            assert key.hex().encode() not in content


def of_another_length(said: dict[str, Any]) -> None:
    said["dump_bytes"] = "1"


def of_another_head(said: dict[str, Any]) -> None:
    said["heads"] = {}


def of_another_key(said: dict[str, Any]) -> None:
    said["key_id"] = "00000000-0000-7000-8000-000000000000"


def of_another_version(said: dict[str, Any]) -> None:
    said["version"] = "jolda.backup/2"


def of_another_database(said: dict[str, Any]) -> None:
    said["database"] = "keys"


def without_signature(said: dict[str, Any]) -> None:
    del said["signature"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (of_another_length, "was changed since it was signed"),
        (of_another_head, "was changed since it was signed"),
        (of_another_key, "signed by another installation"),
        (of_another_version, "made by another version"),
        (of_another_database, "a backup of keys, not of main"),
        (without_signature, "damaged"),
    ],
)
async def test_a_manifest_that_was_changed_is_refused(
    backups: Backups, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    folder = await backups.take()
    file = folder / "main" / "manifest.json"
    said = json.loads(file.read_text("utf-8"))
    change(said)
    file.write_text(json.dumps(said), "utf-8")

    with pytest.raises(BackupRefused, match=sentence):
        await restore(backups, folder)


async def test_a_dump_with_one_bit_changed_is_refused_before_anything_runs(
    backups: Backups,
) -> None:
    folder = await backups.take()
    file = folder / "main" / "dump"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    async with backups.empty() as dsn:
        with pytest.raises(BackupRefused, match="not what was signed"):
            await service.restore_main(dsn, backups.databases.keys, folder, say=unheard)
        conn = await asyncpg.connect(dsn)
        assert await conn.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname='public'") == 0
        await conn.close()


async def test_a_folder_without_a_manifest_is_no_backup(backups: Backups) -> None:
    folder = await backups.take()
    (folder / "main" / "manifest.json").unlink()

    with pytest.raises(BackupRefused, match="no whole backup"):
        await restore(backups, folder)


async def test_nothing_is_restored_over_anything(backups: Backups, databases: Databases) -> None:
    folder = await backups.take()

    with pytest.raises(BackupRefused, match="main is not empty"):
        await service.restore_main(databases.main, databases.keys, folder, say=unheard)


async def test_the_keys_come_first(backups: Backups) -> None:
    folder = await backups.take()

    async with backups.empty() as main, backups.empty() as keys:
        with pytest.raises(BackupRefused, match="key database is empty: restore it first"):
            await service.restore_main(main, keys, folder, say=unheard)


async def test_keys_that_were_migrated_and_never_opened_are_empty_as_well(backups: Backups) -> None:
    folder = await backups.take()

    async with backups.empty() as main, backups.empty() as keys:
        await migrate(keys, "keys")
        with pytest.raises(BackupRefused, match="key database is empty: restore it first"):
            await service.restore_main(main, keys, folder, say=unheard)


async def test_keys_of_another_installation_are_refused(backups: Backups, tmp_path: Path) -> None:
    folder = await backups.take()

    async with backups.empty() as keys:
        with pytest.raises(KekUnusable):
            await service.restore_keys(keys, load(tmp_path / "other"), folder, say=unheard)


async def test_a_folder_beside_the_kek_is_refused(backups: Backups) -> None:
    for folder in (backups.folder / "home", backups.folder / "home" / "backups" / "today"):
        with pytest.raises(BackupRefused, match="beside the KEK"):
            await take(backups, folder)
    linked = backups.folder / "linked"
    linked.symlink_to(backups.folder / "home")
    with pytest.raises(BackupRefused, match="beside the KEK"):
        await take(backups, linked / "today")


async def test_a_folder_that_holds_something_is_refused(backups: Backups) -> None:
    folder = await backups.take()

    with pytest.raises(BackupRefused, match="not empty"):
        await take(backups, folder)


async def take(backups: Backups, folder: Path) -> None:
    await service.backup(
        {"main": backups.databases.main, "keys": backups.databases.keys},
        backups.world.vault,
        folder,
        home=backups.folder / "home",
        clock=lambda: NOW,
        say=unheard,
    )


async def test_a_full_disk_is_told_before_anything_is_written(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(backups.folder)._replace(free=1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)

    with pytest.raises(BackupRefused, match=r"has 1 KiB free, and the backup may take \d+\.\d MiB"):
        await take(backups, backups.folder / "new")
    assert list((backups.folder / "new").iterdir()) == []


async def test_a_disk_that_is_full_just_before_the_end_is_told_and_leaves_nothing(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(BackupRefused, match="cannot be written: No space left on device"):
        await take(backups, backups.folder / "new")
    assert list((backups.folder / "new").iterdir()) == []


async def test_a_dump_that_breaks_off_leaves_nothing(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_name: str, _process: object, _said: str) -> None:
        raise BackupRefused("pg_dump failed: the link was cut")

    monkeypatch.setattr(programs, "_refuse_failed", refuse)

    with pytest.raises(BackupRefused, match="the link was cut"):
        await take(backups, backups.folder / "new")
    assert list((backups.folder / "new").iterdir()) == []


async def test_who_does_not_see_every_company_makes_no_backup(
    backups: Backups, databases: Databases
) -> None:
    admin = await asyncpg.connect(databases.main)
    await admin.execute("CREATE ROLE sees_little LOGIN")
    try:
        little = databases.main.replace("//jolda@", "//sees_little@")
        with pytest.raises(BackupRefused, match="does not see every company"):
            await service.backup(
                {"main": little, "keys": databases.keys},
                backups.world.vault,
                backups.folder / "new",
                home=backups.folder / "home",
                clock=lambda: NOW,
                say=unheard,
            )
    finally:
        await admin.execute("DROP ROLE sees_little")
        await admin.close()
    assert list((backups.folder / "new").iterdir()) == []


async def test_what_pg_restore_refuses_is_told_in_one_line_and_leaves_nothing(
    backups: Backups,
) -> None:
    folder = await backups.take()
    async with backups.empty() as dsn:
        conn = await asyncpg.connect(dsn)
        # What the last of the dump's statements needs is taken away from it meanwhile.
        await conn.execute("CREATE SCHEMA jobs")
        with pytest.raises(BackupRefused, match=r"^pg_restore failed: [^\n]*$"):
            await programs.restore(dsn, file=folder / "main" / "dump", told=lambda _done: None)
        left = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert await conn.fetchval(left) == 0
        await conn.close()


async def test_how_far_it_is_is_told(backups: Backups) -> None:
    said: list[str] = []
    folder = await backups.take()

    async with backups.empty() as dsn:
        await service.restore_main(dsn, backups.databases.keys, folder, say=said.append)

    assert said[0].startswith("main: checking ")
    assert any("read (100%)" in one for one in said)
    assert re.fullmatch(
        r"main: restored in \d+\.\d s, as it was at 2026-11-22 12:00:00 UTC\.", said[-1]
    )


async def test_how_large_a_backup_is_and_of_when_is_told(backups: Backups) -> None:
    said: list[str] = []

    await service.backup(
        {"main": backups.databases.main, "keys": backups.databases.keys},
        backups.world.vault,
        backups.folder / "new",
        home=backups.folder / "home",
        clock=lambda: NOW,
        say=said.append,
    )

    patterns = [
        line
        for name in ("main", "keys")
        for line in (
            rf"{name}: writing a database of \d+\.\d MiB, compressed\.\.\.",
            rf"{name}: [\d.]+ [KM]iB written and signed, as it was at 2026-11-22 12:00:00 UTC\.",
        )
    ]
    assert all(re.fullmatch(one, line) for one, line in zip(patterns, said[:-1], strict=True))
    assert "Now keep the two apart" in said[-1]


@pytest.mark.parametrize(
    ("dsn", "shown", "password"),
    [
        ("postgresql://jolda@/main?host=/tmp/x", "postgresql://jolda@/main?host=/tmp/x", None),
        ("postgresql://jolda:a%2Fb@h:5/main", "postgresql://jolda@h:5/main", "a/b"),
        ("postgresql://j:p@h/main?sslmode=require", "postgresql://j@h/main?sslmode=require", "p"),
        ("postgresql://j@h/main?password=a%2Fb", "postgresql://j@h/main", "a/b"),
        ("postgresql:///main?host=%2Ftmp&password=p", "postgresql:///main?host=%2Ftmp", "p"),
        ("postgresql://j:p@h/main?p%61ssword=q&a=b", "postgresql://j@h/main?a=b", "q"),
    ],
)
def test_a_password_is_in_no_command_line(dsn: str, shown: str, password: str | None) -> None:
    assert programs.without_password(dsn) == (shown, password)
