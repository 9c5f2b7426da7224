"""Looking for bytes in files: as somebody would who has the disk, and no database."""

import mmap
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

UNSEALED: Final = "Qamqorshy Unsealed, +7 700 000 00 00"


def files_of(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def found(files: Iterable[Path], sought: Collection[bytes]) -> set[bytes]:
    """Return which of these stand in any of the files; one that is gone meanwhile holds none."""
    seen: set[bytes] = set()
    for file in files:
        with suppress(FileNotFoundError), file.open("rb") as opened:
            if file.stat().st_size == 0:
                continue
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                seen |= {one for one in set(sought) - seen if content.find(one) >= 0}
    return seen


async def data_files(owner: "asyncpg.Connection[asyncpg.Record]", *, whole: bool) -> list[Path]:
    """Return the database's files, all written.

    The ``whole``: of the cluster with its WAL, and what lies beside it, as its log.
    """
    await owner.execute("CHECKPOINT")
    data = Path(await owner.fetchval("SELECT current_setting('data_directory')"))
    if whole:
        return files_of(data.parent)
    oid = await owner.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
    return files_of(data / "base" / str(oid))


@asynccontextmanager
async def planted(owner: "asyncpg.Connection[asyncpg.Record]") -> AsyncGenerator[bytes]:
    """Store a text in clear, until the block ends; give it as bytes."""
    await owner.execute("CREATE TABLE unsealed (text text)")
    try:
        await owner.execute("INSERT INTO unsealed VALUES ($1)", UNSEALED)
        yield UNSEALED.encode()
    finally:
        await owner.execute("DROP TABLE unsealed")


async def control(owner: "asyncpg.Connection[asyncpg.Record]", *, whole: bool) -> int:
    """Store a text in clear; return how many files have it."""
    async with planted(owner) as text:
        files = await data_files(owner, whole=whole)
        return sum(bool(found([file], [text])) for file in files)
