"""Writing both databases to a folder, and reading one of them into an empty database."""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.backups import keys_store, programs, store
from server.backups.keys_store import FoundKey
from server.backups.model import DUMP, MANIFEST, MANIFEST_BYTES_MAX, BackupRefused, Manifest
from server.kek.model import Bound, Keks
from server.kit import db, revision
from server.kit.db import Connection
from server.kit.files import sync_folder
from server.kit.revision import Schema
from server.ledger.model import Place
from server.vault.service import Vault
from server.vault.service import installation as opened_by
from server.vault.wrapping import signing_aad

Say = Callable[[str], None]
Clock = Callable[[], datetime]
Begin = Callable[[Manifest], Awaitable[None]]
"""Is told when all was checked, the database is empty, and nothing was read into it yet."""

SCHEMAS: Final[tuple[Schema, ...]] = ("main", "keys")
FREE_BYTES_MIN: Final = 64 * 1024 * 1024
"""Left on the disk at least, beside what the databases take."""
FOLDER_FAULTS: Final = frozenset({EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, EPERM, EROFS})
"""What a disk says that takes no more."""
DUMPS_MAX: Final = 3
"""Of the key database in one backup: an exchange of keys lets the one before open nothing."""


async def nobody_hears(_manifest: Manifest) -> None:
    """Note nothing."""


async def backup(
    dsns: Mapping[Schema, str],
    vault: Vault,
    folder: Path,
    *,
    home: Path,
    clock: Clock,
    say: Say,
) -> None:
    """Write both databases into ``folder``, which is empty or not there, each into one of its own.

    First ``main``: what it holds by then, the key database opens.

    Raises
    ------
    BackupRefused
    """
    await asyncio.to_thread(_refuse_folder, folder, home)
    await _refuse_full(dsns, folder)
    try:
        for schema in SCHEMAS:
            await _dump(dsns[schema], schema, vault, folder / schema, clock=clock, say=say)
    except BaseException as error:
        # One of the two alone is no backup: what it needs is in the other.
        for schema in SCHEMAS:
            shutil.rmtree(folder / schema, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in FOLDER_FAULTS:
            raise BackupRefused(f"{folder} cannot be written: {error.strerror}.") from None
        raise
    say(
        f"The backup is whole: {folder / 'main'} and {folder / 'keys'}. Now keep the two apart, "
        "and the KEK with neither of them."
    )


async def restore_main(
    main: str,
    keys: str,
    folder: Path,
    *,
    say: Say,
    aside_at: datetime | None = None,
    begin: Begin = nobody_hears,
) -> Manifest:
    """Read ``main`` of a backup into an empty database; the key database tells if it is ours.

    With ``aside_at`` the embedded database that is there is kept under another name, which tells
    that time. Nothing is touched before the backup was found whole and ours; then ``begin`` notes
    that it is restored, and only then it is.

    Raises
    ------
    BackupRefused
        Nothing was restored.
    """
    async with as_owner(keys) as conn:
        is_there = await keys_store.has_signing_keys(conn)
        trusted = await keys_store.public_keys(conn) if is_there else {}
    if not trusted:
        raise BackupRefused(
            "The key database is empty: restore it first, it tells whether a backup is ours."
        )
    manifest, signature = await asyncio.to_thread(_manifest, folder / "main", "main")
    manifest.refuse_forged(signature, trusted)
    await _restore(main, folder / "main", manifest, say=say, aside_at=aside_at, begin=begin)
    return manifest


async def restore_keys(
    keys: str,
    keks: Keks,
    folder: Path,
    *,
    say: Say,
    aside_at: datetime | None = None,
    begin: Begin = nobody_hears,
) -> Manifest:
    """Read ``keys`` of a backup into an empty database; the KEK tells if it is ours.

    ``aside_at`` and ``begin`` are those of :func:`restore_main`.

    Raises
    ------
    BackupRefused
        Nothing was restored.
    KekUnusable
        Another KEK wrapped these keys, or one that was destroyed since: the backup is older than
        the last exchange of keys, and nobody can open it any more.
    """
    manifest, signature = await asyncio.to_thread(_manifest, folder / "keys", "keys")
    sealed = manifest.sealed_key
    if sealed is None:
        raise BackupRefused("The manifest of this backup is damaged.")
    kek = await keks.in_force(sealed.kek_id)
    (secret,) = await kek.unwrap([Bound(sealed.wrapped, signing_aad(manifest.key_id))])
    ours = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    manifest.refuse_forged(signature, {manifest.key_id: ours})
    await _restore(keys, folder / "keys", manifest, say=say, aside_at=aside_at, begin=begin)
    return manifest


async def installation(keys: Connection) -> UUID | None:
    """Return whose a key database is; None: it is empty, or nobody has opened it yet."""
    return await opened_by(keys) if await keys_store.has_installation(keys) else None


async def _set_aside(dsn: str, schema: Schema, *, now: datetime, say: Say) -> None:
    """Give the embedded database of this name another one, and make an empty one in its place."""
    kept_as = f"{schema}_before_{now:%Y%m%d_%H%M%S}"
    admin = urlunsplit(urlsplit(dsn)._replace(path="/postgres"))
    async with as_owner(admin) as conn:
        await store.rename_database(conn, schema, kept_as)
        await store.make_database(conn, schema)
    say(
        f"The database {schema} is kept as {kept_as}. Drop it when all is well: people who were "
        "erased since may be in it."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dumped:
    """What is in a dump, read in the snapshot that it was made of."""

    begun_at: datetime
    database_bytes: int
    server: str
    roles: tuple[str, ...]
    heads: Mapping[UUID, Place]
    signing_key: FoundKey | None


async def _dump(
    dsn: str, schema: Schema, vault: Vault, folder: Path, *, clock: Clock, say: Say
) -> None:
    file = folder / DUMP
    # No lock holds up the exchange meanwhile: whoever makes a key would wait behind it, and so for
    # the whole dump.
    for _ in range(DUMPS_MAX):
        dumped = await _dump_once(dsn, schema, folder, clock=clock, say=say)
        if schema == "main" or await _is_of_kek_in_force(dsn, dumped):
            break
        say("keys: the keys were exchanged meanwhile, so this dump opens nothing.")
        await asyncio.to_thread(shutil.rmtree, folder)
    else:
        raise BackupRefused(
            "The keys were exchanged each time while they were dumped: run it again later."
        )
    key_id = vault.signing_key_id
    manifest = Manifest(
        database=schema,
        dump_bytes=file.stat().st_size,
        sha256=await asyncio.to_thread(_sha256, file),
        revision=await revision.found(dsn) or "",
        server=dumped.server,
        database_bytes=dumped.database_bytes,
        begun_at=dumped.begun_at,
        ended_at=clock(),
        roles=dumped.roles,
        heads=dumped.heads,
        key_id=key_id,
        public_key=vault.public_keys()[key_id],
        sealed_key=None if dumped.signing_key is None else dumped.signing_key.sealed,
    )
    await asyncio.to_thread(_write, folder, manifest.text(vault.sign(manifest.statement())))
    say(
        f"{schema}: {programs.size_of(manifest.dump_bytes)} written and signed, as it was at "
        f"{manifest.begun_at:%Y-%m-%d %H:%M:%S} UTC."
    )


async def _dump_once(dsn: str, schema: Schema, folder: Path, *, clock: Clock, say: Say) -> _Dumped:
    begun_at = clock()
    async with as_owner(dsn) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        await _refuse_partial(conn, schema)
        await asyncio.to_thread(_make_folder, folder)
        database_bytes = await store.size(conn)
        dumped = _Dumped(
            begun_at=begun_at,
            database_bytes=database_bytes,
            server=await store.server_version(conn),
            roles=tuple(await store.roles(conn)),
            heads=await store.heads(conn) if schema == "main" else {},
            signing_key=await keys_store.signing_key(conn) if schema == "keys" else None,
        )
        snapshot = await store.export_snapshot(conn)
        say(f"{schema}: writing a database of {programs.size_of(database_bytes)}, compressed...")
        told = programs.written(schema, say)
        await programs.dump(dsn, snapshot=snapshot, file=folder / DUMP, told=told)
    return dumped


async def _is_of_kek_in_force(dsn: str, dumped: _Dumped) -> bool:
    """Tell whether the KEK of today opens the dump: an exchange may have ended since it began."""
    async with as_owner(dsn) as conn:
        now = await keys_store.signing_key(conn)
    then = dumped.signing_key
    return then is None or (now is not None and now.sealed.kek_id == then.sealed.kek_id)


async def _restore(
    dsn: str, folder: Path, manifest: Manifest, *, say: Say, aside_at: datetime | None, begin: Begin
) -> None:
    file = folder / DUMP
    say(f"{manifest.database}: checking {programs.size_of(manifest.dump_bytes)}...")
    found = await asyncio.to_thread(_sha256, file)
    if found != manifest.sha256:
        raise BackupRefused(f"{file} is not what was signed: it was damaged or changed.")
    if manifest.revision > revision.newest(manifest.database):
        raise BackupRefused(
            f"The backup is of revision {manifest.revision}, which this version of Jolda does not "
            "know: use the newer one."
        )
    if aside_at is not None:
        await _set_aside(dsn, manifest.database, now=aside_at, say=say)
    async with as_owner(dsn) as conn:
        if not await store.is_empty(conn):
            raise BackupRefused(
                f"The database {manifest.database} is not empty: a backup is restored into an "
                "empty one only, so that nothing is lost by it. Of the embedded PostgreSQL, "
                "--set-aside keeps what is there under another name."
            )
        there = set(await store.roles(conn))
        async with conn.transaction():
            for name in manifest.roles:
                if name not in there:
                    await store.make_role(conn, name)
                await store.grant_role(conn, name)
    await begin(manifest)
    begun = time.monotonic()
    told = programs.progress(manifest.database, manifest.dump_bytes, say)
    await programs.restore(dsn, file=file, told=told)
    say(
        f"{manifest.database}: restored in {time.monotonic() - begun:.1f} s, as it was at "
        f"{manifest.begun_at:%Y-%m-%d %H:%M:%S} UTC."
    )


@asynccontextmanager
async def as_owner(dsn: str) -> AsyncGenerator[Connection]:
    """Open one connection as the log-in itself."""
    conn = await db.connect(dsn)
    try:
        yield conn
    finally:
        await conn.close()


async def _refuse_partial(conn: Connection, schema: Schema) -> None:
    if not await store.sees_all(conn):
        raise BackupRefused(
            f"The log-in of {schema} does not see every company: a backup is made by one with "
            "BYPASSRLS, or by a superuser. See docs/how-to/back-up-and-restore.md."
        )


def _refuse_folder(folder: Path, home: Path) -> None:
    try:
        _make_new(folder, home)
    except OSError as error:
        raise BackupRefused(f"{folder} cannot be made: {error.strerror}.") from None


def _make_new(folder: Path, home: Path) -> None:
    real = folder.resolve()
    if real.is_relative_to(home.resolve()):
        raise BackupRefused(
            f"{folder} lies in {home}, beside the KEK: whoever gets both reads everything. "
            "Name a folder elsewhere, better on another disk."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupRefused(f"{folder} is not empty: every backup gets a folder of its own.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


async def _refuse_full(dsns: Mapping[Schema, str], folder: Path) -> None:
    needed = FREE_BYTES_MIN
    for dsn in dsns.values():
        async with as_owner(dsn) as conn:
            needed += await store.size(conn)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupRefused(
            f"The disk of {folder} has {programs.size_of(free)} free, and the backup may take "
            f"{programs.size_of(needed)}."
        )


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700)


def _write(folder: Path, text: str) -> None:
    """Write the manifest last, and all of it or nothing: a folder without one is no backup."""
    new = folder / f"{MANIFEST}.new"
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with (folder / DUMP).open("rb") as dump:
        os.fsync(dump.fileno())
    for one in (new, folder / DUMP):
        one.chmod(0o600)
    new.rename(folder / MANIFEST)
    # The names as well have to outlive a loss of power.
    for one in (folder, folder.parent):
        sync_folder(one)


def _manifest(folder: Path, schema: Schema) -> tuple[Manifest, bytes]:
    try:
        with (folder / MANIFEST).open(encoding="utf-8") as file:
            text = file.read(MANIFEST_BYTES_MAX)
    except (OSError, UnicodeDecodeError):
        raise BackupRefused(f"{folder} holds no whole backup: its manifest is missing.") from None
    manifest, signature = Manifest.read(text)
    if manifest.database != schema:
        raise BackupRefused(f"{folder} holds a backup of {manifest.database}, not of {schema}.")
    return manifest, signature


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise BackupRefused(f"{file} cannot be read: {error.strerror}.") from None
