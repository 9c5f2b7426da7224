"""A worker or the job runner under a supervisor: what it is told, and what it tells.

It is told once what to work with, then asked how it is whenever the supervisor wants to know. When
the line ends the supervisor is gone, and it ends as if it had been asked to.
"""

import asyncio
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Final, Self, TypeAlias

from server.connections import PoolSizes
from server.databases import Databases
from server.kit import db, figures
from server.kit.children import Line, Message, line
from server.kit.db import PostgresUnreachable
from server.kit.figures import Family
from server.kit.neighbours import Words
from server.kit.ops import Checks
from server.kit.tasks import ended
from server.running import Part
from server.settings import Settings

ASK: Final[Message] = {}
"""The supervisor's question how the process is."""
HEARD: Final = "heard"
"""A message of the supervisor: topic and words that another process told."""
DRAIN_S_MAX: Final = 15
"""Then the kernel ends the process: a supervisor that was killed cannot."""

Begin: TypeAlias = Callable[[Settings, Databases, PoolSizes], AbstractAsyncContextManager[Part]]


class NoSupervisor(Exception):
    """The command was typed by a person. ``str`` is one sentence for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the supervisor decided for one process. DSNs may hold passwords."""

    main: str = field(repr=False)
    keys: str = field(repr=False)
    port: int
    pool_max: int
    keys_pool_max: int

    def message(self) -> Message:
        return asdict(self)

    @classmethod
    def of(cls, message: Message) -> Self:
        return cls(**message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one process tells the supervisor: asked, how it is."""

    is_ready: bool = False
    refused: str | None = None
    """Why it cannot begin: one sentence for a person."""
    checks: dict[str, bool] | None = None
    """Whether the databases answer, by name."""
    figures: Sequence[Family] = ()
    tells: Sequence[str] = ()
    """Topic and words for all other processes."""

    def message(self) -> Message:
        # Not asdict(): it would copy the figures, sample by sample.
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, message: Message) -> Self:
        return cls(**message)


async def work(
    begin: Begin,
    settings: Settings,
    line_number: int | None,
    stop: asyncio.Event,
    *,
    told: tuple[type[Exception], ...],
) -> None:
    """Do one part of the work until ``stop`` is set or the supervisor is gone.

    ``told`` are the errors that the supervisor tells a person; they are raised as well.

    Raises
    ------
    NoSupervisor, PostgresUnreachable
    """
    if line_number is None:
        raise NoSupervisor("This is started by jolda serve: set JOLDA_WORKERS there.")
    end = socket.socket(fileno=line_number)
    _end_with(end)
    async with line(end) as supervisor:
        orders = await _orders(supervisor, stop)
        if orders is None:
            return
        try:
            await _work(begin, settings, Orders.of(orders), supervisor, stop)
        except told as problem:
            await supervisor.send(Said(refused=str(problem)).message())
            raise
        except db.OUTAGES as error:
            # It comes again and again while PostgreSQL is down: no traceback each time.
            sentence = f"PostgreSQL cannot be reached ({type(error).__name__})"
            await supervisor.send(Said(refused=sentence).message())
            raise PostgresUnreachable(sentence) from None


async def _orders(supervisor: Line, stop: asyncio.Event) -> Message | None:
    """Return what to work with; None if the supervisor is gone or ``stop`` is set first."""
    hearing = asyncio.create_task(supervisor.receive())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((hearing, stopping), return_when=asyncio.FIRST_COMPLETED)
        return hearing.result() if hearing.done() else None
    finally:
        await ended(hearing, stopping)


async def refuse(line_number: int, problem: Exception) -> None:
    """Tell the supervisor why the part cannot begin, where that shows before its orders come."""
    async with line(socket.socket(fileno=line_number)) as supervisor:
        if await supervisor.receive() is not None:
            await supervisor.send(Said(refused=str(problem)).message())


def _end_with(end: socket.socket) -> None:
    """Bound for how long we outlive the supervisor, also where our event loop is stuck."""

    def wait(theirs: socket.socket) -> None:
        gone = select.poll()
        gone.register(theirs, 0)  # nothing but the other side's end
        gone.poll()
        signal.alarm(DRAIN_S_MAX)

    # A copy: the number of a file that was closed is given to another one.
    threading.Thread(target=wait, args=(end.dup(),), daemon=True).start()


async def _work(
    begin: Begin, settings: Settings, orders: Orders, supervisor: Line, stop: asyncio.Event
) -> None:
    settings = replace(settings, port=orders.port)
    dsns = Databases(main=orders.main, keys=orders.keys)
    sizes = PoolSizes(main=orders.pool_max, keys=orders.keys_pool_max)
    async with AsyncExitStack() as stack:
        part = await _begun(stack, begin(settings, dsns, sizes), stop)
        if part is None:
            return
        part.neighbours.connect(partial(_tell, supervisor))
        answering = asyncio.create_task(_answer(supervisor, part, stop))
        try:
            await supervisor.send(Said(is_ready=True).message())
            await stop.wait()
        finally:
            answering.cancel()
            signal.alarm(DRAIN_S_MAX)
    # What was counted since the supervisor asked last, the requests of the end with it.
    await supervisor.send(Said(figures=figures.told(part.metrics.registry)).message())


async def _begun(
    stack: AsyncExitStack, beginning: AbstractAsyncContextManager[Part], stop: asyncio.Event
) -> Part | None:
    """Return the part; None where ``stop`` is set before it has begun."""
    until_stopped = asyncio.timeout(None)
    loop = asyncio.get_running_loop()

    async def give_up() -> None:
        await stop.wait()
        until_stopped.reschedule(loop.time())

    try:
        async with until_stopped:
            stopping = asyncio.create_task(give_up())
            try:
                return await stack.enter_async_context(beginning)
            finally:
                await ended(stopping)
    except TimeoutError:
        if until_stopped.expired():
            return None
        raise


async def _answer(supervisor: Line, part: Part, stop: asyncio.Event) -> None:
    """Tell how we are as often as we are asked, until the supervisor is gone."""
    checks = Checks({"main": part.opened.pool, "keys": part.opened.keys_pool})
    try:
        async with asyncio.TaskGroup() as answers:
            while (message := await supervisor.receive()) is not None:
                heard = message.get(HEARD)
                if heard is None:
                    # Beside the line: a database that is frozen must not make us deaf.
                    answers.create_task(_say_how(supervisor, part, checks))
                else:
                    await part.neighbours.heard(heard[0], tuple(heard[1:]))
    finally:
        await checks.stop()
        stop.set()


async def _say_how(supervisor: Line, part: Part, checks: Checks) -> None:
    answers = await checks.answers()
    said = Said(checks=answers, figures=figures.told(part.metrics.registry))
    await supervisor.send(said.message())


def _tell(supervisor: Line, topic: str, words: Words) -> None:
    supervisor.drop_in(Said(tells=(topic, *words)).message())
