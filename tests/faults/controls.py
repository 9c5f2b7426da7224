"""What the proof has to find: the same code with one of its guards taken out."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID, uuid4

from server.deposits import store
from server.deposits.model import Deposit
from server.deposits.store import Stored
from server.gate.model import Gate
from server.kit import db
from server.retention import service as retention
from server.tracking import codec, compaction
from server.tracking.compaction_store import SealedSource
from server.tracking.model import ChunkRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A guard taken out, and the flow and failure that have to show it."""

    name: str
    flow: str
    failure: str
    without: Callable[[], AbstractContextManager[Any]]
    first: int = 1
    """The operation to begin with: none before it can show anything."""


_store: Final = store.store
_background: set["asyncio.Task[None]"] = set()


async def _answered_before_the_commit(
    conn: db.Connection, statement: str, deposits: Sequence[Deposit]
) -> Stored:
    transaction = conn.transaction()
    await transaction.start()
    stored = await _store(conn, statement, deposits)

    async def commit() -> None:
        with suppress(Exception):
            await transaction.commit()

    task = asyncio.create_task(commit())
    _background.add(task)
    task.add_done_callback(_background.discard)
    return stored


def _another_id(*_: object) -> UUID:
    return uuid4()


async def _exchanged_in_two_steps(
    conn: db.Connection,
    _statement: str,
    gate: Gate,
    old: Sequence[SealedSource],
    new: Sequence[ChunkRow],
) -> None:
    place = gate.company_id, gate.driver_id
    async with conn.transaction():
        await db.enter(conn, gate.company_id)
        await conn.execute(
            "DELETE FROM chunk WHERE company_id = $1 AND driver_id = $2 AND upload_id = ANY($3)",
            *place,
            [one.upload_id for one in old],
        )
    async with conn.transaction():
        await db.enter(conn, gate.company_id)
        await conn.executemany(
            "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at,"
            " count, key_id, blob) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                (
                    *(*place, row.last_at, row.upload_id, row.first_at, old[0].stored_at),
                    *(row.size, row.key_id, row.blob),
                )
                for row in new
            ],
        )


@asynccontextmanager
async def _never_given_back(
    pool: db.Pool, company_id: UUID, *, readonly: bool = False
) -> AsyncGenerator[db.Connection]:
    conn = await pool.acquire()
    async with conn.transaction(readonly=readonly):
        await db.enter(conn, company_id)
        yield conn
    await pool.release(conn)


async def _not_written_down(*_: object, **__: object) -> None:
    """Stand in the place of the ledger's append: remember nothing."""


def _no_outage(_error: BaseException) -> bool:
    return False


CONTROLS: Final = (
    Control(
        name="answered before the commit",
        flow="upload, known phone",
        failure="link cut before",
        without=lambda: patch.object(store, "store", _answered_before_the_commit),
    ),
    Control(
        name="another upload id each time",
        flow="upload, known phone",
        failure="link cut after the commit, and stays away",
        without=lambda: patch.object(codec, "upload_id_of", _another_id),
    ),
    Control(
        name="an outage is told as a fault of ours",
        flow="upload, whole tracks",
        failure="link cut before, and stays away",
        without=lambda: patch.object(db, "is_outage", _no_outage),
    ),
    Control(
        name="compaction in two transactions",
        flow="compaction of an hour",
        failure="link cut before",
        without=lambda: patch.object(compaction, "_exchange", _exchanged_in_two_steps),
        first=16,
    ),
    Control(
        name="a connection is not given back after an error",
        flow="compaction of an hour",
        failure="serialization failure (40001)",
        without=lambda: patch.object(db, "tenant", _never_given_back),
    ),
    Control(
        name="retention is not written down",
        flow="retention, old tracks",
        failure="link cut after the commit",
        without=lambda: patch.object(
            retention, "ledger", SimpleNamespace(append=_not_written_down)
        ),
    ),
)
