"""What ``jolda keys`` says, and that it sees an exchange to its end."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest

from server.rekeying import command
from tests.conftest import Databases
from tests.rekeying.conftest import Exchange
from tests.world import NOW, World


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
    world: World, exchange: Exchange, databases: Databases, said: list[str]
) -> None:
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)
    await command.tell_status(databases.keys, say=said.append)
    assert said[0].endswith(", 1 pepper of the log-in index.")
    assert said[1].startswith("1 company key, ")
    assert said[2:] == [
        "1 erased subject since the last exchange began.",
        "The keys were never exchanged.",
    ]
    kek = said[0]
    said.clear()

    await exchange.whole()
    await command.tell_status(databases.keys, say=said.append)

    assert said[0] != kek
    assert said[2] == "0 erased subjects since the last exchange began."
    assert said[3].startswith("The last exchange ended at ")


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
