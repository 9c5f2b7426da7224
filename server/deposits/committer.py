"""Natural group commit: one per process, connections of its own, no timer.

While both connections are busy uploads queue; when one is free, everything queued goes in one
statement, and each upload is answered by its own commit. One upload never stalls its neighbours:
a gate that is locked just now is skipped, and its upload waits on a third connection. Companies
take turns, so that one which brings more than can be stored waits behind its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import chain
from typing import Final
from uuid import UUID

import structlog

from server.deposits import store
from server.deposits.hints import Hints
from server.deposits.model import Deposit, Receipt, UploadsBusy
from server.deposits.store import Stored
from server.deposits.waiting import Answer, Waiting
from server.kit import db
from server.kit.db import Pool
from server.kit.lanes import Lane
from server.kit.problem import where
from server.kit.tasks import ended
from server.kit.turns import Turns

log = structlog.get_logger(__name__)

CONNECTIONS: Final = 2
BATCH_MAX: Final = 256
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
QUEUE_MAX: Final = 4_096
OF_DRIVER_MAX: Final = 32
"""Uploads of one driver that wait or are being stored. A phone sends a few at once, not more."""
TRIES_MAX: Final = 2
GATE_WAIT_MS_MAX: Final = 250
BEHIND_S_MAX: Final = 0.5
"""Of a company whose oldest upload waits longer no more are taken: they would be given up."""
GIVE_UP_EVERY_S: Final = 0.1
DRAIN_S_MAX: Final = 5.0


class _OutcomeUnknown(Exception):
    """The connection was lost and could not be had again in time."""


class Committer:
    """Stores deposits. Make it with :func:`running`."""

    def __init__(
        self, dsn: str, *, on_stored: Callable[[UUID], None], or_skip: str, or_wait: str
    ) -> None:
        self._dsn = dsn
        self._on_stored = on_stored
        self._or_skip = or_skip
        self._or_wait = or_wait
        self._queue: Turns[UUID, Waiting] = Turns()
        self._skipped: Turns[UUID, Waiting] = Turns()
        # A driver has at most one statement in flight, so that a withdrawal waits for one.
        self._busy: dict[UUID, int] = {}
        self._behind: dict[UUID, deque[Waiting]] = {}
        self._unanswered = 0
        self._of_driver: Counter[UUID] = Counter()
        self._failing_since: float | None = None
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
        answered: asyncio.Future[Receipt] = self._loop.create_future()

        def answer(told: Receipt | UploadsBusy) -> None:
            if answered.done():  # nobody waits any more
                return
            if isinstance(told, UploadsBusy):
                answered.set_exception(told)
            else:
                answered.set_result(told)

        self.submit(deposit, answer)
        return await answered

    def submit(self, deposit: Deposit, answer: Answer) -> None:
        """Store the deposit as :meth:`store` does; ``answer`` is called once, after this returned.

        Raises
        ------
        UploadsBusy
            Nothing was queued; ``answer`` is not called.
        """
        driver_id = deposit.driver_id
        if (
            self._closed
            or self._unanswered >= QUEUE_MAX
            or self._of_driver[driver_id] >= OF_DRIVER_MAX
        ):
            raise self.busy()
        self._unanswered += 1
        self._of_driver[driver_id] += 1

        def answered(told: Receipt | UploadsBusy) -> None:
            self._unanswered -= 1
            self._of_driver[driver_id] -= 1
            if not self._of_driver[driver_id]:
                del self._of_driver[driver_id]
            answer(told)

        waiting = Waiting(deposit, answered, self._loop.time())
        if driver_id in self._busy:
            self._behind.setdefault(driver_id, deque()).append(waiting)
        else:
            self._put_in_line(waiting)

    def _put_in_line(self, waiting: Waiting) -> None:
        waiting.in_line_since = self._loop.time()
        self._queue.put(waiting.deposit.company_id, waiting)
        self._queued.set()

    def is_behind(self, company_id: UUID) -> bool:
        """Tell whether more of this company could not be stored in time: ask before any work."""
        oldest = self._queue.first(company_id)
        if oldest is None:
            return False
        return self._loop.time() - oldest.in_line_since > BEHIND_S_MAX

    def busy(self) -> UploadsBusy:
        since = self._failing_since
        return UploadsBusy(failing_s=0.0 if since is None else self._loop.time() - since)

    async def work(self) -> None:
        """Run until cancelled; then whatever waits is told so."""
        batches = [
            self._serve(self._queued, self._next_batch, self._commit) for _ in range(CONNECTIONS)
        ]
        alone = self._serve(self._has_skipped, self._next_skipped, self._commit_alone)
        tasks = [asyncio.create_task(one) for one in (*batches, alone, self._give_up())]
        try:
            await asyncio.wait(tasks)
        finally:
            await ended(*tasks)
            self._closed = True
            for waiting in (*self._queue, *self._skipped, *chain(*self._behind.values())):
                waiting.answer(self.busy())

    async def _give_up(self) -> None:
        """Answer whoever waits too long, also while a database that hangs holds the lanes."""
        while True:
            await asyncio.sleep(GIVE_UP_EVERY_S)
            for waiting in self._queue.take_those(self._is_over):
                waiting.answer(self.busy())
            for driver_id, line in list(self._behind.items()):
                over = [waiting for waiting in line if self._is_over(waiting)]
                for waiting in over:
                    line.remove(waiting)
                    waiting.answer(self.busy())
                if not line:
                    del self._behind[driver_id]
            for waiting in filter(self._is_over, self._skipped):  # the lane takes them out itself
                waiting.answer(self.busy())

    def _is_over(self, waiting: Waiting) -> bool:
        return waiting.until < self._loop.time()

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
        take: Callable[[], list[Waiting]],
        commit: Callable[[Lane, list[Waiting]], Awaitable[list[Waiting]]],
    ) -> None:
        lane = Lane(partial(store.open_committer, self._dsn))
        try:
            while True:
                await signal.wait()
                try:
                    if not await self._serve_next(lane, take, commit):
                        signal.clear()
                except Exception as error:  # noqa: BLE001 - a fault of ours must not end the lane
                    log.error("committer_failed", **where(error))  # noqa: TRY400 - never the text
        finally:
            lane.drop()

    async def _serve_next(
        self,
        lane: Lane,
        take: Callable[[], list[Waiting]],
        commit: Callable[[Lane, list[Waiting]], Awaitable[list[Waiting]]],
    ) -> bool:
        """Commit the next batch; tell whether there was one."""
        batch = take()
        skipped: list[Waiting] = []
        try:
            if batch:
                skipped = await commit(lane, batch)
        finally:
            self._finish(batch, skipped)
        return bool(batch)

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        ours: set[UUID] = set()
        size_bytes = 0
        while self._queue and len(batch) < BATCH_MAX and size_bytes < BATCH_BYTES_MAX:
            waiting = self._queue.take()
            if self._is_over(waiting):
                waiting.answer(self.busy())
                continue
            driver_id = waiting.deposit.driver_id
            if driver_id in self._busy and driver_id not in ours:
                self._behind.setdefault(driver_id, deque()).append(waiting)
                continue
            ours.add(driver_id)
            self._busy[driver_id] = self._busy.get(driver_id, 0) + 1
            batch.append(waiting)
            size_bytes += sum(len(row.blob) for row in waiting.deposit.rows)
        return batch

    def _next_skipped(self) -> list[Waiting]:
        return [self._skipped.take()] if self._skipped else []

    def _finish(self, batch: Sequence[Waiting], skipped: Sequence[Waiting]) -> None:
        """Refuse what got no answer, and let the drivers' next uploads follow."""
        # A closed gate looks like a locked one here; asked alone, it answers at once.
        if skipped:
            for waiting in skipped:
                self._skipped.put(waiting.deposit.company_id, waiting)
            self._has_skipped.set()
        going_on = {id(waiting) for waiting in skipped}
        for waiting in batch:
            if id(waiting) in going_on:
                continue
            if not waiting.is_answered:
                waiting.answer(self.busy())
            driver_id = waiting.deposit.driver_id
            self._busy[driver_id] -= 1
            if not self._busy[driver_id]:
                del self._busy[driver_id]
                for behind in self._behind.pop(driver_id, ()):
                    self._put_in_line(behind)

    async def _commit(self, lane: Lane, batch: list[Waiting]) -> list[Waiting]:
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

    async def _store(self, lane: Lane, batch: list[Waiting]) -> Stored:
        """Run the statement; again if the connection was lost, with the same upload ids."""
        deposits = [waiting.deposit for waiting in batch]
        for attempt in range(1, TRIES_MAX + 1):
            try:
                conn = await lane.connection()
                stored = await store.store(conn, self._or_skip, deposits)
            except Exception as error:
                if not db.is_outage(error):
                    raise
                log.warning("committer_retries", attempt=attempt, error=type(error).__name__)
                lane.drop()
            else:
                self._failing_since = None
                return stored
        if self._failing_since is None:
            self._failing_since = self._loop.time()
        raise _OutcomeUnknown

    async def _commit_alone(self, lane: Lane, batch: list[Waiting]) -> list[Waiting]:
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

    def _answer(self, waiting: Waiting, stored: Stored) -> None:
        deposit = waiting.deposit
        allowed = all(row.upload_id in stored.allowed for row in deposit.rows)
        if deposit.only_latest:
            kept_at = stored.kept.get(deposit.driver_id)
            new = tuple(row.last_at == kept_at for row in deposit.rows)
        else:
            new = tuple(row.upload_id in stored.stored for row in deposit.rows)
        if allowed and any(new):
            self._on_stored(deposit.company_id)
        waiting.answer(Receipt(allowed, new))


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
        await ended(*tasks)
