"""Natural group commit: one per process, connections of its own, no timer.

While both connections are busy uploads queue; when one is free, everything queued goes in one
statement, and each upload is answered by its own commit. One upload never stalls its neighbours:
a gate that is locked just now is skipped, and its upload waits on a third connection.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.uploads import store
from server.uploads.model import Deposit, Receipt, UploadsBusy
from server.uploads.store import Stored

log = structlog.get_logger(__name__)

CONNECTIONS: Final = 2
BATCH_MAX: Final = 256
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
QUEUE_MAX: Final = 4_096
TRIES_MAX: Final = 2
CONNECT_S_MAX: Final = 2.0
GATE_WAIT_MS_MAX: Final = 250
GATE_WAIT_S_MAX: Final = 1.0
DRAIN_S_MAX: Final = 5.0
HINT_EVERY_S: Final = 0.2
HINT_CHANNEL: Final = "jolda_positions"
"""PostgreSQL NOTIFY; the payload is a company's id, at most once a batch. Only a hint."""


class _OutcomeUnknown(Exception):
    """The connection was lost and could not be had again in time."""


class _Waiting(NamedTuple):
    deposit: Deposit
    answer: "asyncio.Future[Receipt]"
    until: float


class _Lane:
    """One connection, opened when needed and again after it was lost."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: Connection | None = None

    async def connection(self) -> Connection:
        """Return the connection.

        Raises
        ------
        ConnectionError
        """
        if self._conn is None or self._conn.is_closed():
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    self._conn = await store.open_committer(self._dsn)
            except Exception as error:
                raise ConnectionError from error
        return self._conn

    def drop(self) -> None:
        """Give the connection up: whatever it was doing, its outcome is unknown."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.terminate()


class Committer:
    """Stores deposits. Make it with :func:`running`."""

    def __init__(
        self, dsn: str, *, on_stored: Callable[[UUID], None], or_skip: str, or_wait: str
    ) -> None:
        self._dsn = dsn
        self._on_stored = on_stored
        self._or_skip = or_skip
        self._or_wait = or_wait
        self._queue: deque[_Waiting] = deque()
        self._skipped: deque[_Waiting] = deque()
        # A driver has at most one statement in flight, so that a withdrawal waits for one.
        self._busy: dict[UUID, int] = {}
        self._behind: dict[UUID, deque[_Waiting]] = {}
        self._unanswered = 0
        self._queued = asyncio.Event()
        self._has_skipped = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()

    async def store(self, deposit: Deposit) -> Receipt:
        """Store the deposit if its gate allows; return once that is flushed to disk.

        Raises
        ------
        UploadsBusy
            The queue is full, the database cannot be reached, or the gate stayed locked. Nothing
            was acknowledged; what was stored all the same is the same row when sent again.
        """
        if self._closed or self._unanswered >= QUEUE_MAX:
            raise UploadsBusy
        until = self._loop.time() + GATE_WAIT_S_MAX
        waiting = _Waiting(deposit, self._loop.create_future(), until)
        self._unanswered += 1
        try:
            self._enqueue(waiting)
            return await waiting.answer
        finally:
            self._unanswered -= 1

    def _enqueue(self, waiting: _Waiting) -> None:
        driver_id = waiting.deposit.driver_id
        if driver_id in self._busy:
            self._behind.setdefault(driver_id, deque()).append(waiting)
        else:
            self._queue.append(waiting)
            self._queued.set()

    async def work(self) -> None:
        """Run until cancelled; then whatever waits is told so."""
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(CONNECTIONS):
                    lanes.create_task(self._serve(self._queued, self._next_batch, self._commit))
                lanes.create_task(
                    self._serve(self._has_skipped, self._next_skipped, self._commit_alone)
                )
        finally:
            self._closed = True
            for waiting in (*self._queue, *self._skipped, *chain(*self._behind.values())):
                _refuse(waiting)

    async def drain(self) -> None:
        """Take nothing more, and wait a while until everything is answered."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                while self._unanswered:  # noqa: ASYNC110 - once, at the end of the process
                    await asyncio.sleep(0.01)

    async def _serve(
        self,
        signal: asyncio.Event,
        take: Callable[[], list[_Waiting]],
        commit: Callable[[_Lane, list[_Waiting]], Awaitable[list[_Waiting]]],
    ) -> None:
        lane = _Lane(self._dsn)
        try:
            while True:
                await signal.wait()
                batch = take()
                if not batch:
                    signal.clear()
                    continue
                skipped: list[_Waiting] = []
                try:
                    skipped = await commit(lane, batch)
                except Exception as error:  # noqa: BLE001 - a fault of ours must not end the lane
                    log.error("committer_failed", **where(error))  # noqa: TRY400 - never the text
                finally:
                    self._finish(batch, skipped)
        finally:
            lane.drop()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        ours: set[UUID] = set()
        size_bytes = 0
        while self._queue and len(batch) < BATCH_MAX and size_bytes < BATCH_BYTES_MAX:
            waiting = self._queue.popleft()
            driver_id = waiting.deposit.driver_id
            if driver_id in self._busy and driver_id not in ours:
                self._behind.setdefault(driver_id, deque()).append(waiting)
                continue
            ours.add(driver_id)
            self._busy[driver_id] = self._busy.get(driver_id, 0) + 1
            batch.append(waiting)
            size_bytes += sum(len(row.blob) for row in waiting.deposit.rows)
        return batch

    def _next_skipped(self) -> list[_Waiting]:
        return [self._skipped.popleft()] if self._skipped else []

    def _finish(self, batch: Sequence[_Waiting], skipped: Sequence[_Waiting]) -> None:
        """Refuse what got no answer, and let the drivers' next uploads follow."""
        # A closed gate looks like a locked one here; asked alone, it answers at once.
        if skipped:
            self._skipped.extend(skipped)
            self._has_skipped.set()
        going_on = {id(waiting) for waiting in skipped}
        for waiting in batch:
            if id(waiting) in going_on:
                continue
            _refuse(waiting)
            driver_id = waiting.deposit.driver_id
            self._busy[driver_id] -= 1
            if not self._busy[driver_id]:
                del self._busy[driver_id]
                self._queue.extend(self._behind.pop(driver_id, ()))
        if self._queue:
            self._queued.set()

    async def _commit(self, lane: _Lane, batch: list[_Waiting]) -> list[_Waiting]:
        """Store the batch and answer; return what was skipped."""
        try:
            stored = await self._store(lane, batch)
        except _OutcomeUnknown:
            return []
        except Exception as error:  # noqa: BLE001 - halved until the culprit stands alone
            log.warning("statement_failed", count=len(batch), error=type(error).__name__)
            if len(batch) == 1:
                return []
            middle = len(batch) // 2
            first = await self._commit(lane, batch[:middle])
            return first + await self._commit(lane, batch[middle:])
        skipped = []
        for waiting in batch:
            if waiting.deposit.driver_id in stored.locked:
                self._answer(waiting, stored)
            else:
                skipped.append(waiting)
        return skipped

    async def _store(self, lane: _Lane, batch: list[_Waiting]) -> Stored:
        """Run the statement; again if the connection was lost, with the same upload ids."""
        deposits = [waiting.deposit for waiting in batch]
        for attempt in range(1, TRIES_MAX + 1):
            try:
                conn = await lane.connection()
                return await store.store(conn, self._or_skip, deposits)
            except Exception as error:
                if not db.is_outage(error):
                    raise
                log.warning("committer_retries", attempt=attempt, error=type(error).__name__)
                lane.drop()
        raise _OutcomeUnknown

    async def _commit_alone(self, lane: _Lane, batch: list[_Waiting]) -> list[_Waiting]:
        """Store one upload, waiting for its gate; return it if that took too long this time."""
        [waiting] = batch
        if self._loop.time() > waiting.until:
            return []
        try:
            conn = await lane.connection()
            stored = await store.store_waiting(
                conn, self._or_wait, waiting.deposit, wait_ms_max=GATE_WAIT_MS_MAX
            )
        except store.WAITED_TOO_LONG:
            return batch
        except Exception as error:  # noqa: BLE001 - one upload's failure; the lane goes on
            log.warning("statement_failed", count=1, error=type(error).__name__)
            lane.drop()
            return []
        self._answer(waiting, stored)
        return []

    def _answer(self, waiting: _Waiting, stored: Stored) -> None:
        deposit = waiting.deposit
        allowed = all(row.upload_id in stored.allowed for row in deposit.rows)
        if deposit.only_latest:
            kept_at = stored.kept.get(deposit.driver_id)
            new = tuple(row.last_at == kept_at for row in deposit.rows)
        else:
            new = tuple(row.upload_id in stored.stored for row in deposit.rows)
        if not waiting.answer.done():
            waiting.answer.set_result(Receipt(allowed, new))
        if allowed and any(new):
            self._on_stored(deposit.company_id)


def _refuse(waiting: _Waiting) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(UploadsBusy())


class Hints:
    """Tells other processes which companies have new positions; at most every 200 ms."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._companies: set[UUID] = set()
        self._some = asyncio.Event()

    def add(self, company_id: UUID) -> None:
        self._companies.add(company_id)
        self._some.set()

    async def work(self) -> None:
        """Run until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(HINT_EVERY_S)
            companies, self._companies = sorted(self._companies), set()
            self._some.clear()
            try:
                async with self._pool.acquire() as conn:
                    await store.notify(conn, HINT_CHANNEL, companies)
            except Exception as error:  # noqa: BLE001 - a hint; watchers also poll
                log.warning("hint_lost", error=type(error).__name__)


@asynccontextmanager
async def running(
    dsn: str,
    pool: Pool,
    *,
    or_skip: str = store.STORE_OR_SKIP,
    or_wait: str = store.STORE_OR_WAIT,
) -> AsyncGenerator[Committer]:
    """Run a committer for as long as the block lasts.

    Parameters
    ----------
    dsn
        Of ``main``, for the committer's own connections.
    pool
        For the hints.
    or_skip, or_wait
        The storing statements; only the race proof gives others.
    """
    hints = Hints(pool)
    committer = Committer(dsn, on_stored=hints.add, or_skip=or_skip, or_wait=or_wait)
    tasks = [asyncio.create_task(committer.work()), asyncio.create_task(hints.work())]
    try:
        yield committer
    finally:
        await committer.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
