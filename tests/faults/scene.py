"""A served application behind the proxy, and a look past both at what is stored."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import asyncpg
from aiohttp import ClientSession

from server.deposits.hints import HINT_EVERY_S
from server.gate.model import GateItem
from server.kek import key_file as keks
from server.kek.key_file import load
from server.kit import db
from server.ledger.model import Act
from server.tracking import codec
from server.uploads import web as uploads
from server.vault import service as vaults
from server.vault.model import Category
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.endpoints import CONSENT, TRACKING
from tests.faults.nth import Broken, Switch, Told
from tests.faults.postgres_proxy import TASK, Proxy, proxied
from tests.http import Clock, bearer, serve
from tests.stage import Place
from tests.uploading import positions
from tests.world import NOW, Driver, World, add_driver

SETTLED_S_MAX: Final = 3.0
LOOKED_EVERY_S: Final = 0.002
NOTICED_S: Final = 0.01
POOL_MAX: Final = 6
# asyncpg keeps a pool's least number of connections by itself, with pauses of seconds.
NOT_OURS: Final = frozenset({"Pool._maintain_min_size"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is stored of a driver, read past the application and its keys."""

    rows: int
    times_ms: tuple[int, ...]
    """Of every position in every row, in order: what is there twice stands here twice."""
    latest_ms: int | None
    refused: int
    gate: dict[str, Any]
    ledger: int


@dataclass(slots=True, kw_only=True)
class Scene:
    """One process of the server, whose every statement goes through the proxy."""

    switch: Switch
    proxy: Proxy
    main: str
    """The DSN, by way of the proxy."""
    world: World
    """What the application works with."""
    aside: World
    """The same company, past the proxy: to prepare and to look."""
    client: ClientSession
    clock: Clock
    keys_owner: "asyncpg.Connection[asyncpg.Record]"
    pools: tuple[db.Pool, ...]
    unheard: list[str] = field(default_factory=list)
    """What tasks raised and nobody awaited."""
    _tasks: Counter[str] = field(default_factory=Counter)

    @property
    def company_id(self) -> UUID:
        return self.world.company_id

    async def cut_links(self) -> None:
        """Break every link, and return when that was noticed."""
        old = self.proxy.links
        self.proxy.cut_all()
        await _until(lambda: not old & self.proxy.links)
        await asyncio.sleep(NOTICED_S)

    async def settled(self) -> None:
        """Return when all connections are back and no task is left over.

        Raises
        ------
        Broken
            Something stays.
        """
        await _until(lambda: not self._left())
        if left := self._left():
            raise Broken(f"left over: {left}")
        if self.unheard:
            unheard, self.unheard = self.unheard, []
            raise Broken(f"raised and never awaited: {unheard}")

    def _left(self) -> str:
        more = tasks() - self._tasks
        busy = sum(pool.get_size() - pool.get_idle_size() for pool in self.pools)
        return " ".join((*more, *([f"{busy} connections"] if busy else [])))

    async def begin(self) -> None:
        """Let everything run once, and remember which tasks there are when nothing goes on."""
        body = {"positions": positions(1)}
        told, _ = await self.post("/v1/positions", self.world.driver.device_token, body)
        assert told is Told.DONE
        await asyncio.sleep(2 * HINT_EVERY_S)
        self._tasks = tasks()

    async def driver(self, *consents: GateItem, on_shift: bool = True) -> Driver:
        """Add a driver of whom this process has not heard."""
        aside = self.aside
        given = consents or tuple(GateItem)
        return await add_driver(
            aside.vault, aside.pool, self.company_id, consents=given, on_shift=on_shift
        )

    async def post(self, path: str, secret: str, body: Any) -> tuple[Told, Any]:
        """Ask the application, and judge its answer by the contract of outages."""
        async with self.client.post(path, json=body, headers=bearer(secret)) as answer:
            said = await answer.json(content_type=None)
            if answer.status in (200, 201):
                return Told.DONE, said
            if answer.status == 503:
                if not answer.headers.get("Retry-After", "").isdigit():
                    raise Broken("503 without Retry-After")
                return Told.UNAVAILABLE, said
            if answer.status == 500:
                return Told.FAILED, said
            raise Broken(f"answered {answer.status} {said.get('code')}")

    async def forget_all(self) -> None:
        """Leave no positions and no refusals: a job would take those of other runs along."""
        await self.aside.owner.execute(
            "DELETE FROM chunk; DELETE FROM latest_position; DELETE FROM refusal_count"
        )

    async def expired(self) -> int:
        """Return how many positions the ledger says were removed for their age."""
        entries = await self.aside.owner.fetch(
            "SELECT facts FROM ledger_entry WHERE company_id = $1 AND act = $2",
            self.company_id,
            Act.TRACKS_EXPIRED.value,
        )
        return sum(json.loads(entry["facts"])["positions"] for entry in entries)

    async def months(self, driver: Driver) -> int:
        """Return how many keys of tracks there are of the driver."""
        count: int = await self.keys_owner.fetchval(
            "SELECT count(*) FROM data_key WHERE subject_id = $1 AND category = $2",
            driver.member_id,
            Category.TRACK.value,
        )
        return count

    async def kept(self, driver: Driver) -> Kept:
        """Look at what is stored of the driver, past the proxy."""
        return await kept_of(self.aside.owner, self.aside.vault, self.company_id, driver)


async def kept_of(
    owner: "asyncpg.Connection[asyncpg.Record]", vault: Vault, company_id: UUID, driver: Driver
) -> Kept:
    """Look at what is stored of the driver.

    Raises
    ------
    Broken
        Something there cannot be read, or the gate was left half closed.
    """
    place = company_id, driver.member_id

    async def of_driver(asked: str) -> Any:
        return await owner.fetch(f"{asked} WHERE company_id = $1 AND driver_id = $2", *place)

    rows = await of_driver("SELECT upload_id, key_id, blob FROM chunk")
    vault.forget(*place)  # what is destroyed there is not to be read from memory
    keys = await vault.keys(company_id, {row["key_id"] for row in rows})
    times: list[int] = []
    for row in rows:
        if row["key_id"] not in keys:
            raise Broken("a row is there and its key is not")
        opened = codec.open_chunk(keys[row["key_id"]], row["blob"], row["upload_id"])
        times.extend(opened.positions.time_ms.tolist())
    latest = await of_driver("SELECT recorded_at FROM latest_position")
    refused = await of_driver("SELECT count FROM refusal_count")
    gate = await of_driver("SELECT * FROM gate")
    if await of_driver("SELECT FROM gate_closing"):
        raise Broken("the gate is still closing")
    return Kept(
        rows=len(rows),
        times_ms=tuple(sorted(times)),
        latest_ms=int(latest[0]["recorded_at"].timestamp() * 1000) if latest else None,
        refused=sum(row["count"] for row in refused),
        gate=dict(gate[0]),
        ledger=await owner.fetchval(
            "SELECT count(*) FROM ledger_entry WHERE company_id = $1", company_id
        ),
    )


async def _until(true: Callable[[], bool]) -> None:
    """Return when it is true, or has not become so for too long."""
    until = time.monotonic() + SETTLED_S_MAX
    while not true() and time.monotonic() < until:  # noqa: ASYNC110 - they tell nobody
        await asyncio.sleep(LOOKED_EVERY_S)


def tasks() -> Counter[str]:
    """Count the tasks of this loop by what they run, but for the proxy's and the caller's."""
    current = asyncio.current_task()
    names = (
        getattr(task.get_coro(), "__qualname__", "")
        for task in asyncio.all_tasks()
        if task is not current and task.get_name() != TASK
    )
    return Counter(name for name in names if name not in NOT_OURS)


@asynccontextmanager
async def scene(place: Place) -> AsyncGenerator[Scene]:
    """Serve on these databases, by way of a proxy, until the block ends."""
    async with AsyncExitStack() as stack:
        owner = await asyncpg.connect(place.main)
        stack.push_async_callback(owner.close)
        keys_owner = await asyncpg.connect(place.keys)
        stack.push_async_callback(keys_owner.close)
        aside_pool = await _pool(stack, place.main, db.ROLE_APP)
        aside_keys = await _pool(stack, place.keys, db.ROLE_KEYS)
        aside_vault = await open_vault(aside_keys, load(place.kek), NOW)
        aside = await World.make(vault=aside_vault, pool=aside_pool, owner=owner)

        proxy = await stack.enter_async_context(proxied(place.main))
        proxy.judge = (switch := Switch()).judge
        for module in (keks, vaults):
            stack.enter_context(patch.object(module, "AESGCM", switch.cipher))
        pool = await _pool(stack, proxy.dsn(place.main), db.ROLE_APP)
        keys_pool = await _pool(stack, proxy.dsn(place.keys), db.ROLE_KEYS)
        vault: Vault = await open_vault(keys_pool, load(place.kek), NOW)
        world = World(
            vault=vault,
            pool=pool,
            owner=owner,
            company_id=aside.company_id,
            driver=aside.driver,
        )
        clock, dsn = Clock(), proxy.dsn(place.main)
        client = await stack.enter_async_context(
            serve(
                world,
                TRACKING,
                CONSENT,
                clock=clock,
                prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(dsn)),
            )
        )
        made = Scene(
            switch=switch,
            proxy=proxy,
            main=dsn,
            world=world,
            aside=aside,
            client=client,
            clock=clock,
            keys_owner=keys_owner,
            pools=(pool, keys_pool),
        )
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda _loop, told: made.unheard.append(told["message"]))
        stack.callback(loop.set_exception_handler, before)
        await made.begin()
        yield made


async def _pool(stack: AsyncExitStack, dsn: str, role: str) -> db.Pool:
    opened = await stack.enter_async_context(db.pool(dsn, role=role, size_max=POOL_MAX))
    # Closing one waits for each connection: for ever, where a control does not give it back.
    stack.callback(opened.terminate)
    return opened
