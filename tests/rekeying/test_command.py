"""What ``jolda keys`` says, and that it sees an exchange to its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from server.kek.places import KekAt, keks_at
from server.rekeying import command, service, store
from server.rekeying.service import TakenOver
from tests.conftest import Databases
from tests.rekeying.conftest import Exchange
from tests.world import NOW, World

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Minutes:
    """A clock on which each look is a minute later."""

    at = NOW

    def __call__(self) -> datetime:
        self.at += timedelta(minutes=1)
        return self.at


@pytest.fixture
def said() -> list[str]:
    return []


async def test_an_exchange_is_seen_to_its_end(
    world: World, exchange: Exchange, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK_EVERY_S", 0.0)
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    await command.exchange_now(
        exchange.rekeyer, stop=asyncio.Event(), clock=Minutes(), say=said.append
    )

    assert said[0] == "Every process gets to know the new pepper until 12:03:00 UTC."
    assert said[-1].startswith("The last exchange ended at 2026-")
    assert said[-1].endswith("Older copies of the key database open nothing any more.")


async def test_who_stops_it_is_told_that_nothing_is_lost(
    exchange: Exchange, said: list[str]
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)

    await command.exchange_now(exchange.rekeyer, stop=stop, clock=lambda: NOW, say=said.append)

    assert said[-1] == (
        "Stopped: what is left, the server's own job does, or this command once more."
    )
    assert (await exchange.whole()).ended_at is not None


async def test_how_the_keys_stand_is_told_before_and_after(
    world: World, exchange: Exchange, databases: Databases, kek_file: Path, said: list[str]
) -> None:
    keks = partial(keks_at, KekAt(file=kek_file), may_make=False)
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)
    await command.tell_status(databases.keys, keks, say=said.append)
    assert said[0].endswith(", 1 pepper of the log-in index.")
    assert said[1].startswith("1 company key, ")
    assert said[2:] == [
        "Each of them can be used.",
        "1 erased subject since the last exchange began.",
        "The keys were never exchanged.",
    ]
    kek = said[0]
    said.clear()

    await exchange.whole()
    await command.tell_status(databases.keys, keks, say=said.append)

    assert said[0] != kek
    assert said[3] == "0 erased subjects since the last exchange began."
    assert said[4].startswith("The last exchange ended at ")


async def test_while_somebody_holds_the_keys_it_waits_and_then_goes_on(
    exchange: Exchange, databases: Databases, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK_EVERY_S", 0.0)
    conn = await asyncpg.connect(databases.keys)
    await conn.execute("SELECT pg_advisory_lock_shared(7242003)")
    asyncio.get_running_loop().call_later(0.5, conn.terminate)

    await command.exchange_now(
        exchange.rekeyer, stop=asyncio.Event(), clock=Minutes(), say=said.append
    )

    assert said[0] == "Somebody holds the keys just now: it goes on when they are free."
    assert said[1].startswith("Every process gets to know the new pepper until ")
    assert said[-1].startswith("The last exchange ended at ")


@pytest.fixture
async def looking(databases: Databases) -> AsyncIterator[Owner]:
    """Be the one who exchanges keys, as a server is each minute while it looks."""
    conn = await asyncpg.connect(databases.keys)
    assert await store.try_lock(conn)
    yield conn
    await conn.close()


async def test_while_the_server_only_looks_the_last_exchange_is_not_taken_for_the_one_asked_for(
    exchange: Exchange, databases: Databases, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK_EVERY_S", 0.01)
    last = await exchange.whole()
    conn = await asyncpg.connect(databases.keys)
    assert await store.try_lock(conn)
    asyncio.get_running_loop().call_later(0.5, conn.terminate)

    await command.exchange_now(
        exchange.rekeyer, stop=asyncio.Event(), clock=Minutes(), say=said.append
    )

    assert said[0] == command.HELD
    assert said[-1].startswith("The last exchange ended at 2026-")
    now = (await service.standing(databases.keys)).last
    assert now is not None
    assert now.rekeying_id != last.rekeying_id


async def test_one_that_somebody_else_is_at_is_joined(
    exchange: Exchange, looking: Owner, databases: Databases, said: list[str]
) -> None:
    await looking.execute(
        "INSERT INTO rekeying (rekeying_id, begun_at) VALUES (gen_random_uuid(), $1)", NOW
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)

    await command.exchange_now(exchange.rekeyer, stop=stop, clock=lambda: NOW, say=said.append)

    assert said[0] == "Every process gets to know the new pepper until 12:02:00 UTC."
    assert await looking.fetchval("SELECT count(*) FROM rekeying") == 1
    assert (await service.standing(databases.keys)).peppers == 1


async def test_one_that_the_server_took_over_is_seen_to_its_end(
    exchange: Exchange, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK_EVERY_S", 0.0)
    was_taken = False

    def taken_once(place: str) -> None:
        nonlocal was_taken
        if place == "followed" and not was_taken:
            was_taken = True
            raise TakenOver

    rekeyer = replace(exchange.rekeyer, failpoint=taken_once)

    await command.exchange_now(rekeyer, stop=asyncio.Event(), clock=Minutes(), say=said.append)

    assert was_taken
    assert said[-1].startswith("The last exchange ended at ")
