"""One server of the acts' proof: the whole product in a process of its own, to be killed at will.

``python -m tests.races.acts_server MAIN KEYS KEK BEGAN_S`` tells its address on standard output,
takes orders as lines of JSON on standard input, and ends when that does.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from server import databases, running
from server.demo.clock import FastClock
from server.deposits import store
from server.deposits.model import Deposit
from server.deposits.store import Stored
from server.kit import logs
from server.kit.db import Connection, Pool
from server.settings import Settings
from tests.world import NOW

POOL_MAX: Final = 8
"""Few, so that they can all be taken, and PostgreSQL has enough for every process."""
CONNECTIONS_PER_ADDRESS_MAX: Final = 10_000

_really_store = store.store
_instead: dict[str, str] = {}


async def _store(conn: Connection, statement: str, deposits: Sequence[Deposit]) -> Stored:
    return await _really_store(conn, _instead.get(statement, statement), deposits)


def clock(began_s: float) -> FastClock:
    """Return the clock that all processes share: it runs from NOW on, by the machine's own."""
    return FastClock(start=NOW, speed=1.0, started_s=began_s)


async def hold_all(pool: Pool, for_s: float) -> None:
    """Take every connection of the pool for a while."""

    async def hold() -> None:
        async with pool.acquire():
            await asyncio.sleep(for_s)

    await asyncio.gather(*(hold() for _ in range(POOL_MAX)))


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(main_dsn: str, keys_dsn: str, kek: str, began_s: str) -> None:
    replaced: dict[tuple[Any, str], Any] = {
        (databases, "POOL_CONNECTIONS_MAX"): POOL_MAX,
        (store, "store"): _store,
    }
    for (module, name), value in replaced.items():
        setattr(module, name, value)
    settings = Settings(
        home=Path(kek).parent,
        kek_file=Path(kek),
        database_url=main_dsn,
        keys_database_url=keys_dsn,
        port=0,
        ops_port=0,
        connections_per_address_max=CONNECTIONS_PER_ADDRESS_MAX,
        allow_unsafe_postgres=True,
    )
    dsns = databases.Databases(main=main_dsn, keys=keys_dsn)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    served = running.server(settings, dsns, clock=clock(float(began_s)), say=lambda _: None)
    async with served as here, asyncio.TaskGroup() as holding:
        tell(here.address.url)
        while line := await orders.readline():
            order = json.loads(line)
            if "instead" in order:
                _instead.clear()
                _instead.update(order["instead"])
                tell("ready")
            else:
                holding.create_task(hold_all(here.opened.pool, order["hold_all_s"]))


if __name__ == "__main__":
    logs.configure()
    uvloop.run(main(*sys.argv[1:]))
