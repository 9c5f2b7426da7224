"""Several processes as one installation: workers that share a port, and one job runner.

What has to happen once happens here, before they begin: the embedded PostgreSQL, the schema, the
key encryption key, the port. They load their code meanwhile. Then this process only watches: it
starts again whoever ended, adds up everybody's figures, and ends all when it is asked to. Their
side: server/supervised.py.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import structlog

from server import connections, databases, running
from server.connections import PoolSizes
from server.databases import Databases, Say
from server.kit import children
from server.kit.children import Child
from server.kit.figures import Figures
from server.kit.http_server import listening, refuse_taken, reserved
from server.kit.ops import installation_app
from server.kit.tasks import ended
from server.kit.web import utc_now
from server.settings import Settings
from server.supervised import ASK, HEARD, Orders, Said

log = structlog.get_logger(__name__)

TRIES_MAX: Final = 3
"""How often a process may fail before it was ready for the first time."""
READY_S_MAX: Final = 60.0
STEADY_S: Final = 5.0
"""Who was ready for so long and then ends is not thought to do so again and again."""
BACK_OFF_S_MIN: Final = 0.2
BACK_OFF_S_MAX: Final = 30.0
LOOK_EVERY_S: Final = 5.0
"""Of what a process counted before it was killed, so much is lost at most."""
ANSWER_S_MAX: Final = 1.5
DRAIN_S_MAX: Final = 15.0
"""Within the 30 seconds that docker-compose.yml gives. Whoever takes longer is killed."""
DATABASES: Final = ("main", "keys")


class CannotStart(Exception):
    """A process ends again and again before it is ready. ``str`` is one sentence for a person."""


async def serve(settings: Settings, *, stop: asyncio.Event, say: Say) -> None:
    """Run ``settings.workers`` workers and a job runner until ``stop`` is set.

    Raises
    ------
    CannotListen, LocalPostgresError, PostgresUnreachable, UnsafePostgres, SchemaOutdated,
    SchemaUnreadable, KekUnusable, Behind, StorageMoved, ConnectionsShort, CannotStart
    """
    async with AsyncExitStack() as stack:
        # Before anything slow, so that nobody waits for a database in vain.
        address = await stack.enter_async_context(reserved(settings.host, settings.port))
        await refuse_taken(settings.ops_host, settings.ops_port)
        crew = Crew(_posts(settings.workers), say=say)
        await stack.enter_async_context(crew.loading())
        dsns = await stack.enter_async_context(databases.up_to_date(settings, say=say))
        async with databases.opened(dsns, settings, now=utc_now()) as opened:
            await running.refuse_unfit(opened, dsns, settings)
        orders = await _orders(settings, dsns, address.port)
        ops_address = await stack.enter_async_context(
            listening(
                installation_app(crew.answers, crew.figures),
                host=settings.ops_host,
                port=settings.ops_port,
            )
        )
        stopping = asyncio.create_task(stop.wait())
        stack.callback(stopping.cancel)
        async with crew.working(orders) as (all_ready, failed):
            await _first(all_ready, stopping, failed)
            if not stop.is_set():
                say(
                    f"Serving on {address.url} with {settings.workers} workers "
                    f"(health and metrics on {ops_address.url})."
                )
                say("Ready. Ctrl-C stops it.")
                await _first(stopping, failed)
            say("Stopping...")


def _posts(workers: int) -> list["Post"]:
    numbered = [Post(name=f"worker-{one}", command="worker") for one in range(1, workers + 1)]
    return [*numbered, Post(name="jobs", command="jobs")]


async def _orders(settings: Settings, dsns: Databases, port: int) -> Mapping[str, Orders]:
    """Return what each command is told to work with."""
    shares = connections.shares(settings.workers, await connections.room(dsns.main, dsns.keys))

    def orders(sizes: PoolSizes) -> Orders:
        return Orders(
            main=dsns.main, keys=dsns.keys, port=port, pool_max=sizes.main, keys_pool_max=sizes.keys
        )

    return {"worker": orders(shares.worker), "jobs": orders(shares.jobs)}


async def _first(*tasks: "asyncio.Future[Any]") -> None:
    """Return when one of them is done; raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


@dataclass(slots=True, kw_only=True)
class Post:
    """A place in the crew, and the process that holds it now."""

    name: str
    command: str
    child: Child | None = None
    is_ready: bool = False
    ready_at: float | None = None
    """When its process became ready."""
    first_ready: asyncio.Event = field(default_factory=asyncio.Event)
    """From then on it is filled again for as long as the crew works."""
    failures: int = 0
    """In a row."""
    refused: str | None = None
    """Why its process could not begin."""
    asked: "asyncio.Future[Said | None] | None" = None
    """How its process is: not answered yet. None when it ended instead."""

    async def start(self) -> Child:
        """Start a process for it, which loads its code and then waits for its orders.

        Raises
        ------
        OSError
        """
        command = [sys.executable, "-m", "server", self.command, "--name", self.name]
        return await children.start(command)

    def vacated(self) -> None:
        """Forget of the process that held it."""
        self.refused = self.ready_at = None

    def was_steady(self) -> bool:
        return self.ready_at is not None and monotonic() - self.ready_at > STEADY_S

    async def how_it_is(self) -> Said | None:
        """Ask the process; None if there is none, or it does not answer in time."""
        if self.child is None or not self.is_ready:
            return None
        asked = self.asked
        if asked is None:
            # Nobody waits for a process that does not listen: others are asked as well.
            if not self.child.drop_in(ASK):
                return None
            # Once only: a process that was stopped hears no more questions than that.
            asked = self.asked = asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S_MAX):
                return await asyncio.shield(asked)
        return None

    def answered(self, said: Said | None) -> None:
        if self.asked is not None:
            self.asked.set_result(said)
            self.asked = None


class Crew:
    """Keeps every post filled."""

    def __init__(self, posts: Iterable[Post], *, say: Say) -> None:
        self._posts = tuple(posts)
        self._say = say
        self._figures = Figures()
        self._loaded: dict[str, Child] = {}
        """Who was started before there was anything to do, by post."""

    @asynccontextmanager
    async def loading(self) -> AsyncGenerator[None]:
        """Start some of the processes that shall work later; who did not is ended with the block.

        As many as there are processors: more would only wait for each other, and it is not known
        yet whether PostgreSQL has connections for all. Who cannot be started is tried again later.
        """
        try:
            for post in self._posts[: os.cpu_count()]:
                with suppress(OSError):
                    self._loaded[post.name] = await post.start()
            yield
        finally:
            await _end(self._loaded.values())

    @asynccontextmanager
    async def working(
        self, orders: Mapping[str, Orders]
    ) -> AsyncGenerator[tuple["asyncio.Future[Any]", "asyncio.Future[Any]"]]:
        """Fill the posts until the block ends; ``orders`` are by command.

        Gives what is done when all were ready for the first time, and what raises CannotStart when
        one cannot be filled.
        """
        all_ready = asyncio.gather(*(post.first_ready.wait() for post in self._posts))
        keeping = [
            asyncio.create_task(self._keep(post, orders[post.command])) for post in self._posts
        ]
        looking = asyncio.create_task(self._look())
        failed = asyncio.gather(*keeping, looking)
        tasks: tuple[asyncio.Future[Any], ...] = (all_ready, failed, *keeping, looking)
        try:
            yield all_ready, failed
        finally:
            await ended(*tasks)
            await _end([post.child for post in self._posts if post.child is not None])

    async def answers(self) -> dict[str, bool]:
        """Return what is well: the databases, as every process finds them, and each process."""
        how = await asyncio.gather(*(post.how_it_is() for post in self._posts))
        found = [said.checks for said in how if said is not None and said.checks is not None]
        return {
            **{name: bool(found) and all(one[name] for one in found) for name in DATABASES},
            **{post.name: said is not None for post, said in zip(self._posts, how, strict=True)},
        }

    async def figures(self) -> bytes:
        """Return the figures of all processes, added up."""
        await asyncio.gather(*(post.how_it_is() for post in self._posts))
        return self._figures.text()

    async def _look(self) -> None:
        """Ask now and then, so that little is lost of what a process counted that is killed."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.gather(*(post.how_it_is() for post in self._posts))

    async def _keep(self, post: Post, orders: Orders) -> None:
        while True:
            post.vacated()
            try:
                post.child = self._loaded.pop(post.name, None) or await post.start()
            except OSError as error:
                how = f"cannot be started ({error.strerror})"
            else:
                how = how_it_ended(await self._attend(post, post.child, orders), post.refused)
                post.child = None
                self._figures.end(post.name)
            post.failures = 1 if post.was_steady() else post.failures + 1
            if not post.first_ready.is_set() and post.failures >= TRIES_MAX:
                raise CannotStart(f"{post.name} {how}, {post.failures} times before it was ready.")
            log.warning("process_ended", process=post.name, attempt=post.failures)
            if post.first_ready.is_set():
                self._say(f"{post.name} {how}; starting it again.")
            doubled = BACK_OFF_S_MIN * 2.0 ** min(post.failures - 1, 10)
            await asyncio.sleep(min(doubled, BACK_OFF_S_MAX))

    async def _attend(self, post: Post, child: Child, orders: Orders) -> int:
        """Listen to the process until it ends; return its exit status."""
        await child.send(orders.message())
        try:
            async with asyncio.timeout(READY_S_MAX) as until_ready:
                while (message := await child.receive()) is not None:
                    said = Said.of(message)
                    if said.is_ready:
                        until_ready.reschedule(None)
                        post.is_ready = True
                        post.ready_at = monotonic()
                        post.first_ready.set()
                    elif said.refused is not None:
                        post.refused = said.refused
                    elif said.tells:
                        self._pass_on(post, said.tells)
                    else:
                        self._figures.tell(post.name, said.figures)
                        post.answered(said)
        except TimeoutError:
            child.send_signal(signal.SIGTERM)
        finally:
            post.is_ready = False
            post.answered(None)
        return await child.ended()

    def _pass_on(self, teller: Post, tells: Sequence[str]) -> None:
        for post in self._posts:
            if post is not teller and post.is_ready and post.child is not None:
                post.child.drop_in({HEARD: tells})


async def _end(crew: Iterable[Child]) -> None:
    held = list(crew)
    for child in held:
        child.send_signal(signal.SIGTERM)
    await asyncio.gather(*(_to_the_end(child) for child in held))


async def _to_the_end(child: Child) -> None:
    """Let it end; hear it out meanwhile, so that it need not wait until it is heard."""

    async def hear_out() -> None:
        while await child.receive() is not None:
            pass

    hearing = asyncio.create_task(hear_out())
    try:
        await child.ended(s_max=DRAIN_S_MAX)
    finally:
        await ended(hearing)


def how_it_ended(status: int, refused: str | None) -> str:
    if refused is not None:
        return f"gave up ({refused.removesuffix('.')})"
    if status < 0:
        return f"was ended by {_signal_name(-status)}"
    return f"ended with status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # Python names few of the real-time ones
        return f"signal {number}"
