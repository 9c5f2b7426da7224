"""Making answers that take a while: a few at once, and only while somebody waits for them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

from server.kit.errors import Unavailable

T = TypeVar("T")
P = ParamSpec("P")

GONE_POLL_S: Final = 0.1
"""How often it is looked whether the caller, for whom something is drawn, is still there."""


class ReadsBusy(Unavailable):
    slug = "reads-busy"
    title = "Tracks and reports cannot be read just now"
    retry_after_s = 1.0


class Turns:
    """Lets a few through at a time, keeps some waiting, and refuses the rest.

    Of one company no more than ``company_max`` are let in, so that it leaves room for the others.
    """

    def __init__(self, at_once: int, *, waiting_max: int, company_max: int | None = None) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._inside_max = at_once + waiting_max
        self._company_max = self._inside_max if company_max is None else company_max
        self._inside: Counter[UUID | None] = Counter()

    @property
    def inside(self) -> int:
        """How many were let in, and are not through yet."""
        return self._inside.total()

    @asynccontextmanager
    async def one(self, company_id: UUID | None = None) -> AsyncGenerator[None]:
        """Wait for a turn; None is for what is no company's own.

        Raises
        ------
        ReadsBusy
        """
        if self.inside >= self._inside_max or self._inside[company_id] >= (
            self._inside_max if company_id is None else self._company_max
        ):
            raise ReadsBusy
        self._inside[company_id] += 1
        try:
            async with self._free:
                yield
        finally:
            self._inside[company_id] -= 1
            if not self._inside[company_id]:
                del self._inside[company_id]

    @asynccontextmanager
    async def next(self) -> AsyncGenerator[None]:
        """Let somebody through who was let through before: they are not sent away in the midst."""
        async with self._free:
            yield


class Streams:
    """How many long answers are on their way at once; each holds a part of it in memory."""

    def __init__(self, *, process_max: int, company_max: int) -> None:
        self._process_max = process_max
        self._company_max = company_max
        self._open: Counter[UUID] = Counter()

    @contextmanager
    def one(self, company_id: UUID) -> Iterator[None]:
        if self._open.total() >= self._process_max or self._open[company_id] >= self._company_max:
            raise ReadsBusy
        self._open[company_id] += 1
        try:
            yield
        finally:
            self._open[company_id] -= 1
            if not self._open[company_id]:
                del self._open[company_id]


async def while_there(work: Coroutine[Any, Any, T], is_gone: Callable[[], bool]) -> T:
    """Return what ``work`` gives; cancel it, and wait for its end, once the caller has gone.

    Raises
    ------
    ConnectionResetError
        The caller has gone.
    """
    doing = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((doing,), timeout=GONE_POLL_S))[0]:
            if is_gone():
                raise ConnectionResetError
        return doing.result()
    finally:
        if not doing.done():
            doing.cancel()
            await _ended(doing)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function`` in a thread. A cancellation waits for its end: no thread can be stopped.

    So a turn is not free while the work that it was for goes on.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await _ended(running)
        raise


async def _ended(doing: "asyncio.Future[Any]") -> None:
    """Wait for its end; what comes of it, nobody wants to know any more."""
    await asyncio.wait((doing,))
    if not doing.cancelled():
        doing.exception()
