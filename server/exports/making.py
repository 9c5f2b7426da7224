"""Makes packages: a job that a crash at any instruction only delays.

Each file is packed and sealed as it is written, in transactions of its own. A step that is done is
never done again; one that a crash cut off is begun anew. Who makes a package writes only while it
is theirs: of two that take it for their own one is refused with its next part.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.export_files import manifest, writing, zipping
from server.export_files.reading import Whose
from server.export_files.writing import File, Piece, Reader
from server.export_files.zipping import Packed, Packing
from server.exports import store
from server.exports.model import (
    CHUNK_BYTES,
    KEPT,
    RUN_LASTS,
    RUNS_MAX,
    STEPS,
    Export,
    RunLost,
    State,
)
from server.exports.service import sealed_chunk, tell_ready
from server.gate.drawing import in_thread
from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.kit.problem import where
from server.vault.model import Category, DataKey
from server.vault.service import Vault

log = structlog.get_logger(__name__)

AT_ONCE_MAX: Final = 2
"""Packages that a process makes at once: each holds some tens of megabytes."""
Clock = Callable[[], datetime]
Failpoint = Callable[[str], None]
_FILES_SCHEMA: Final = "export_step"
_turns: Final = asyncio.Semaphore(AT_ONCE_MAX)


async def make_due(pool: Pool, vault: Vault, company_id: UUID, clock: Clock) -> int:
    """Make the packages that nobody makes; return how many were made.

    One that fails is told of in the log and made by the next run.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await store.waiting(conn, company_id, clock() - RUN_LASTS)
    made = 0
    for export_id in waiting:
        try:
            async with _turns:
                made += await make(pool, vault, company_id, export_id, clock)
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("export_unfinished", company=str(company_id), **where(error))
    return made


async def make(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    export_id: UUID,
    clock: Clock,
    *,
    failpoint: Failpoint = lambda _place: None,
) -> bool:
    """Make a package, or what of it is not made yet; False where somebody else does, or it is gone.

    ``failpoint`` is told each place where a crash could strike, and may raise.
    """
    run_id = uuid7()
    async with db.tenant(pool, company_id) as conn:
        now = clock()
        taken = await store.take(
            conn, company_id, export_id, run_id, heard_before=now - RUN_LASTS, now=now
        )
        export = await store.get(conn, company_id, export_id)
        if not taken or export is None:
            return False
        if export.runs > RUNS_MAX or now >= export.expires_at:
            log.warning("export_failed", company=str(company_id))
            await store.end(
                conn, company_id, export_id, State.FAILED, size_bytes=None, ready_at=None
            )
            return False
    run = _Run(pool, vault, company_id, export, run_id, clock, failpoint)
    try:
        await run.go()
    except RunLost:
        return False
    except Exception:
        async with db.tenant(pool, company_id) as conn:
            await store.let_go(conn, company_id, export_id, run_id)
        raise
    return True


class _Run:
    """One go at a package."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        company_id: UUID,
        export: Export,
        run_id: UUID,
        clock: Clock,
        failpoint: Failpoint,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._company_id = company_id
        self._export = export
        self._run_id = run_id
        self._clock = clock
        self._failpoint = failpoint
        self._rows = 0
        self._number = 0

    async def go(self) -> None:
        """Do every step that is not done.

        Raises
        ------
        RunLost
        """
        done = await self._done()
        reader = await self._reader()
        self._rows = sum(rows for rows, _ in done.values())
        for place, step in enumerate(STEPS):
            if step in done:
                continue
            self._failpoint(f"{step}.begun")
            await self._begin(place)
            before = self._rows
            if step == STEPS[-1]:
                packed = await self._end(reader, place, done)
            else:
                packed = await self._files(reader, place, step)
            self._failpoint(f"{step}.worked")
            await self._record(step, done, self._rows - before, packed)
            self._failpoint(f"{step}.done")

    async def _reader(self) -> Reader:
        whose = Whose(
            pool=self._pool,
            vault=self._vault,
            company_id=self._company_id,
            driver_id=self._export.driver_id,
            now=self._clock(),
        )
        return await writing.reader_of(whose, self._export.language, kept_days=KEPT.days)

    async def _key(self) -> DataKey:
        return await self._vault.key(
            self._company_id, self._export.driver_id, Category.EXPORT, at=self._export.asked_at
        )

    async def _done(self) -> dict[str, tuple[int, list[Packed]]]:
        """Return by step how many rows it wrote, and which files."""
        async with db.tenant(self._pool, self._company_id, readonly=True) as conn:
            rows = await store.steps(conn, self._company_id, [self._export.export_id])
        key = await self._key()
        done = {}
        for row in rows:
            schema = f"{_FILES_SCHEMA}/{row['step']}"
            raw = key.open(row["files_sealed"], row_id=self._export.export_id.bytes, schema=schema)
            said = json.loads(raw)
            done[row["step"]] = (said["rows"], [Packed(**one) for one in said["files"]])
        return done

    async def _begin(self, place: int) -> None:
        async with db.tenant(self._pool, self._company_id) as conn:
            await self._hold(conn)
            await store.delete_chunks(conn, self._company_id, self._export.export_id, place)
        self._number = 0

    async def _hold(self, conn: db.Connection) -> None:
        ids = (self._company_id, self._export.export_id, self._run_id)
        if not await store.hold(conn, *ids, rows=self._rows, now=self._clock()):
            raise RunLost

    async def _files(self, reader: Reader, place: int, step: str) -> list[Packed]:
        async with aclosing(writing.files(reader, step)) as files:
            return [await self._file(place, file) async for file in files]

    async def _file(self, place: int, file: File) -> Packed:
        """Pack and store one file; its header, which tells its size, is stored last."""
        header, self._number = self._number, self._number + 1
        packing, waiting = Packing(file.name), bytearray()
        async with aclosing(file.pieces) as pieces:
            async for piece in pieces:
                waiting += await in_thread(packing.add, piece.data)
                self._rows += piece.rows
                while len(waiting) >= CHUNK_BYTES:
                    await self._store(place, self._next(), bytes(waiting[:CHUNK_BYTES]))
                    del waiting[:CHUNK_BYTES]
        last, packed = packing.end()
        waiting += last
        while waiting:
            await self._store(place, self._next(), bytes(waiting[:CHUNK_BYTES]))
            del waiting[:CHUNK_BYTES]
        await self._store(place, header, zipping.header(packed, self._export.asked_at))
        return packed

    def _next(self) -> int:
        number, self._number = self._number, self._number + 1
        return number

    async def _store(self, place: int, number: int, data: bytes) -> None:
        sealed = sealed_chunk(await self._key(), self._export, place, number, data)
        async with db.tenant(self._pool, self._company_id) as conn:
            await self._hold(conn)
            await store.insert_chunk(conn, self._company_id, self._export, place, number, sealed)
        self._failpoint("chunk.stored")

    async def _end(
        self, reader: Reader, place: int, done: dict[str, tuple[int, list[Packed]]]
    ) -> list[Packed]:
        """Write the signed list of all files, and what ends the archive."""
        files = _all(done)
        said = manifest.made(
            self._vault,
            self._company_id,
            self._export.driver_id,
            self._export.export_id,
            reader.about,
            files,
        )
        listed = await self._file(place, File(name=manifest.MANIFEST, pieces=_only(said)))
        directory = zipping.directory([*files, listed], self._export.asked_at)
        await self._store(place, self._next(), directory)
        return [listed]

    async def _record(
        self,
        step: str,
        done: dict[str, tuple[int, list[Packed]]],
        rows: int,
        packed: list[Packed],
    ) -> None:
        """Write down that a step is done; with the last one the package is ready."""
        done[step] = (rows, packed)
        said = {"rows": rows, "files": [one.to_json() for one in packed]}
        sealed = (await self._key()).seal(
            json.dumps(said).encode(),
            row_id=self._export.export_id.bytes,
            schema=f"{_FILES_SCHEMA}/{step}",
        )
        now, ids = self._clock(), (self._company_id, self._export)
        async with db.tenant(self._pool, self._company_id) as conn:
            await self._hold(conn)
            await store.insert_step(conn, *ids, step, sealed, now=now)
            if step == STEPS[-1]:
                await self._ready(conn, _all(done), now)

    async def _ready(self, conn: db.Connection, files: Sequence[Packed], now: datetime) -> None:
        company_id, export = self._company_id, self._export
        size = sum(one.archive_bytes for one in files)
        size += len(zipping.directory(files, export.asked_at))
        await store.end(
            conn, company_id, export.export_id, State.READY, size_bytes=size, ready_at=now
        )
        await tell_ready(conn, company_id, export, now=now)


def _all(done: dict[str, tuple[int, list[Packed]]]) -> list[Packed]:
    return [file for step in STEPS if step in done for file in done[step][1]]


async def _only(data: bytes) -> AsyncGenerator[Piece]:
    yield Piece(0, data)
