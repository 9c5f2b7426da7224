"""Copies of both databases as a thief would have them, and what of them opens today.

A sealed value names its key, so whoever has that key reads it: what is counted is of how many
sealed values the key comes out, whatever they hold. The texts of which we know what they are bound
to are read as well.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
from cryptography.exceptions import InvalidTag

from server.kit import localpg
from server.kit.localpg import binary
from server.vault.model import DataKey
from tests.erasure.person import Person
from tests.erasure_proof.scene import Scene
from tests.rekeying.attacker import copied, keys_opened

SEALED: Final = b"\x01"
TARGET: Final = "before the erasure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What came out of copies."""

    values: int
    """Sealed values of the person in the copy of ``main``."""
    opened: int
    """Those whose key the thief has."""
    canaries: int
    """What they are known by and said, as the thief reads it."""


async def run(*command: str | Path) -> bytes:
    """Run a program of PostgreSQL; return what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumps:
    """Old dumps of both databases."""

    main: Path
    keys: Path

    @property
    def files(self) -> tuple[Path, Path]:
        return self.main, self.keys


async def dump(scene: Scene, folder: Path) -> Dumps:
    """Dump both databases."""
    name = uuid4().hex
    made = Dumps(main=folder / f"{name}.main", keys=folder / f"{name}.keys")
    await asyncio.gather(
        run(binary("pg_dump"), "-Fc", "-Z0", "-f", made.main, "-d", scene.place.main),
        run(binary("pg_dump"), "-Fc", "-Z0", "-f", made.keys, "-d", scene.place.keys),
    )
    return made


def database(dsn: str, name: str) -> str:
    """Return the DSN of another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{quote(name)}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Both databases of an earlier time, restored."""

    main: "asyncpg.Connection[asyncpg.Record]"
    keys: "asyncpg.Connection[asyncpg.Record]"
    keys_dsn: str


@asynccontextmanager
async def restored(scene: Scene, dumps: Dumps) -> AsyncGenerator[Copies]:
    """Restore both dumps into databases of their own, which go with the block."""
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(database(scene.place.main, "postgres"))
        stack.push_async_callback(admin.close)
        found = []
        for file in dumps.files:
            name = f"old_{uuid4().hex}"
            await admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
            stack.push_async_callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")
            found.append(database(scene.place.main, name))
            await run(binary("pg_restore"), "--exit-on-error", "-d", found[-1], file)
        yield await _copies(stack, *found)


async def _copies(stack: AsyncExitStack, main: str, keys: str) -> Copies:
    conns = [await asyncpg.connect(dsn) for dsn in (main, keys)]
    for conn in conns:
        stack.push_async_callback(conn.close)
    return Copies(main=conns[0], keys=conns[1], keys_dsn=keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseBackup:
    """A copy of the whole cluster, and the WAL since, up to today."""

    data: Path
    wal: Path


async def base_backup(scene: Scene, folder: Path) -> BaseBackup:
    made = BaseBackup(data=folder / "base", wal=folder / "wal")
    server = database(scene.place.main, "postgres")
    # What an archive would be for: none of the WAL since goes before it is copied.
    await scene.owner.execute("ALTER SYSTEM SET wal_keep_size = '1GB'")
    await scene.owner.execute("SELECT pg_reload_conf()")
    await run(
        binary("pg_basebackup"), "-d", server, "-D", made.data, "-X", "stream", "-c", "fast", "-N"
    )
    return made


async def keep_wal(scene: Scene, data: Path, backup: BaseBackup) -> None:
    """Copy the WAL of today beside the backup, as an archive would have it."""
    await scene.owner.execute("SELECT pg_switch_wal()")
    backup.wal.mkdir(exist_ok=True)
    for file in (data / "pg_wal").iterdir():
        if file.is_file():
            await asyncio.to_thread(shutil.copyfile, file, backup.wal / file.name)
    # The rest of the proof runs as a server does.
    await scene.owner.execute("ALTER SYSTEM RESET wal_keep_size")
    await scene.owner.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def recovered(data: Path, backup: BaseBackup) -> AsyncGenerator[Copies]:
    """Start the backup and let it replay the WAL up to just before the erasure."""
    target = [
        f"restore_command = 'cp {backup.wal}/%f %p'",
        f"recovery_target_name = '{TARGET}'",
        "recovery_target_action = 'promote'",
        "hot_standby = off",  # who connects meanwhile would see what is not there yet
    ]
    with (backup.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("\n".join(target) + "\n")
    (backup.data / "recovery.signal").touch()
    await asyncio.to_thread(_give_to_owner_of, data, backup)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            localpg.run(backup.data, say=lambda _sentence: None)
        )
        yield await _copies(stack, server.dsn("main"), server.dsn("keys"))


def _give_to_owner_of(data: Path, backup: BaseBackup) -> None:
    owner = data.stat()
    for path in (backup.data, *backup.data.rglob("*"), backup.wal, *backup.wal.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


async def thief(scene: Scene, old: Copies) -> dict[UUID, DataKey]:
    """Return every key that comes out of the old copy, or is alive, with all keys of today."""
    opened = await keys_opened(await copied(old.keys), scene.keys_owner, scene.keks)
    alive = await keys_opened(await copied(scene.keys_owner), scene.keys_owner, scene.keks)
    return {**opened, **alive}


async def opens(old: Copies, keys: Mapping[UUID, DataKey], person: Person) -> Opened:
    """Try these keys on everything sealed of a person in the old copy."""
    rows = await old.keys.fetch(
        "SELECT key_id FROM data_key WHERE subject_id = $1", person.driver_id
    )
    theirs = {row["key_id"] for row in rows}
    values = [one for one in await sealed_with(old.main) if one in theirs]
    texts = "\n".join(read(keys, person))
    return Opened(
        values=len(values),
        opened=sum(one in keys for one in values),
        canaries=sum(canary in texts for canary in person.canaries),
    )


def read(keys: Mapping[UUID, DataKey], person: Person) -> list[str]:
    """Return what these keys read of what was sealed of a person."""
    texts = []
    for one in person.sealed:
        key = keys.get(one.key_id)
        if key is None:
            continue
        with suppress(InvalidTag):
            texts.append(key.open(one.sealed, row_id=one.row_id.bytes, schema=one.schema).decode())
    return texts


async def sealed_with(conn: "asyncpg.Connection[asyncpg.Record]") -> list[UUID]:
    """Return of every sealed value in a database by which key it was sealed."""
    columns = await conn.fetch(
        "SELECT format('SELECT %1$I AS value FROM %2$I.%3$I WHERE %1$I IS NOT NULL',"
        " column_name, table_schema, table_name) AS statement FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND udt_name = 'bytea'"
    )
    return [
        UUID(bytes=row["value"][1:17])
        for column in columns
        for row in await conn.fetch(column["statement"])
        if row["value"][:1] == SEALED and len(row["value"]) > 1 + 16
    ]


async def living(conn: "asyncpg.Connection[asyncpg.Record]", gone: Collection[UUID]) -> set[UUID]:
    """Return the keys of everybody in a copy of the key database but these."""
    rows = await conn.fetch("SELECT key_id, subject_id FROM data_key")
    return {row["key_id"] for row in rows if row["subject_id"] not in gone}
