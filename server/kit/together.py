"""Many who ask at the same time are answered by one question."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final, Generic, TypeAlias, TypeVar

import asyncpg

from server.kit.db import is_outage
from server.kit.tasks import ended

G = TypeVar("G")
K = TypeVar("K")
V = TypeVar("V")

Ask: TypeAlias = Callable[[G, Mapping[K, datetime]], Awaitable[Mapping[K, V | Exception]]]
"""Answers for the keys of a group; an exception is raised to those who asked for its key."""

WAITED_IN_VAIN: Final = (
    TimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
)
"""Not the connection's fault: a lock that one of the keys needs, or a database that hangs."""
GIVEN_UP_MAX: Final = 2


def _future() -> "asyncio.Future[V | None]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class _Waiting(Generic[V]):
    at: datetime
    answer: "asyncio.Future[V | None]" = field(default_factory=_future)


class Together(Generic[G, K, V]):
    """Of each group one question at a time; whoever comes while it is asked waits for the next."""

    def __init__(self, ask: Ask[G, K, V], *, most: int) -> None:
        """``ask`` is asked for ``most`` keys at once at the most, and perhaps more than once."""
        self._ask = ask
        self._most = most
        self._waiting: dict[G, dict[K, _Waiting[V]]] = {}
        self._asking: dict[G, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """Return of how many groups something is asked just now: nothing is held of the others."""
        return len(self._asking)

    async def end(self) -> None:
        """Ask no more: whoever waits is gone, or is cancelled."""
        while self._asking:
            asking = dict(self._asking)
            await ended(*asking.values())
            for group, task in asking.items():
                if self._asking.get(group) is task:  # it had not even begun
                    self._leave(group)

    async def get(self, group: G, key: K, at: datetime) -> V | None:
        """Return what was answered for the key, None where nothing was; raises what it raised.

        The question begins after this call. It is asked with the newest ``at`` of those who wait
        for the key.
        """
        waiting = self._waiting.setdefault(group, {})
        mine = waiting.setdefault(key, _Waiting(at))
        mine.at = max(mine.at, at)
        if group not in self._asking:
            self._asking[group] = asyncio.create_task(self._ask_for_all(group, waiting))
        return await asyncio.shield(mine.answer)  # who goes away leaves the others theirs

    async def _ask_for_all(self, group: G, waiting: dict[K, _Waiting[V]]) -> None:
        try:
            while waiting:
                some = dict(islice(waiting.items(), self._most))
                for key in some:
                    del waiting[key]
                try:
                    await self._answer(group, some, [])
                finally:
                    for one in some.values():
                        one.answer.cancel()  # what is answered stays: only the end gets here
        finally:
            self._leave(group)

    def _leave(self, group: G) -> None:
        del self._asking[group]
        for one in self._waiting.pop(group).values():
            one.answer.cancel()

    async def _answer(
        self, group: G, some: Mapping[K, _Waiting[V]], gave_up: list[Exception]
    ) -> None:
        """Answer them; ``gave_up`` is how often a wait was in vain for them and those with them.

        A wait takes long, so it is not halved as an error is, down to the one at fault: that would
        be a wait for each half. Only once, and both halves are asked at the same time; after a
        second one everybody left is told. So one who is waited for costs at most half of the
        others their answer, and a database that hangs is waited for twice (three times if other
        errors had it halved before), however many ask.
        """
        if len(gave_up) >= GIVEN_UP_MAX:
            _tell(some, dict.fromkeys(some, gave_up[-1]))
            return
        try:
            found = await self._asked(group, {key: one.at for key, one in some.items()})
        except Exception as error:  # noqa: BLE001 - everybody who waits is told
            half = len(some) // 2
            halves = dict(islice(some.items(), half)), dict(islice(some.items(), half, None))
            if isinstance(error, WAITED_IN_VAIN):
                gave_up.append(error)
                if half and len(gave_up) < GIVEN_UP_MAX:
                    await asyncio.gather(*(self._answer(group, one, gave_up) for one in halves))
                    return
            elif half and not is_outage(error):
                # One of them may be at fault: halved until it stands alone, it harms nobody else.
                for one in halves:
                    await self._answer(group, one, gave_up)
                return
            found = dict.fromkeys(some, error)
        _tell(some, found)

    async def _asked(self, group: G, times: Mapping[K, datetime]) -> Mapping[K, V | Exception]:
        try:
            return await self._ask(group, times)
        except Exception as error:
            if not is_outage(error) or isinstance(error, WAITED_IN_VAIN):
                raise
        # A connection had died, as likely as not: another one may do, and many wait for it.
        return await self._ask(group, times)


def _tell(some: Mapping[K, _Waiting[V]], found: Mapping[K, V | Exception]) -> None:
    for key, one in some.items():
        told = found.get(key)
        if isinstance(told, Exception):
            one.answer.set_exception(told)
            one.answer.exception()  # whoever waited may be gone: that is no fault
        else:
            one.answer.set_result(told)
