"""A fleet that comes back is known together, and nobody's fault, time or absence is another's."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from server.consent.model import VALID_FOR
from server.credentials import service as credentials
from server.credentials.model import NotAuthenticated
from server.gate import service as gates
from server.kit import db, tokens
from server.kit.ids import uuid7
from server.kit.tokens import Token
from server.uploads.beliefs import BELIEFS_READ_MAX, UNKNOWN_S_MAX, Belief, Beliefs
from server.uploads.model import ConsentAnswer
from tests.world import CONSENTED, NOW, Driver, World, add_driver

FLEET = 8
CROWD = 2 * BELIEFS_READ_MAX + 1
MILLISECOND = timedelta(milliseconds=1)


class Statements:
    """Counts those of a kind; each can be held up once it was answered."""

    def __init__(self, module: Any, name: str, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.answered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._real = getattr(module, name)
        patch.setattr(module, name, self)

    async def __call__(self, *args: Any) -> Any:
        self.count += 1
        found = await self._real(*args)
        self.answered.set()
        await self.go_on.wait()
        return found


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Statements:
    return Statements(credentials, "devices_of_tokens", monkeypatch)


@pytest.fixture
def gate_reads(monkeypatch: pytest.MonkeyPatch) -> Statements:
    return Statements(gates, "read_some", monkeypatch)


@pytest.fixture
async def fleet(world: World) -> list[Driver]:
    return [await add_driver(world.vault, world.pool, world.company_id) for _ in range(FLEET)]


def token_of(text: str) -> Token:
    token = tokens.parse(text)
    assert token is not None
    return token


def unknown(world: World) -> Token:
    return token_of(tokens.mint("jd", world.company_id)[0])


async def known(
    beliefs: Beliefs, devices: Iterable[Token], now: datetime = NOW
) -> list[Belief | BaseException]:
    """Ask for each at a time of its own, as requests do."""
    return await asyncio.gather(
        *(beliefs.load(one, now + place * MILLISECOND) for place, one in enumerate(devices)),
        return_exceptions=True,
    )


def tokens_of(drivers: Sequence[Driver]) -> list[Token]:
    return [token_of(one.device_token) for one in drivers]


async def test_a_token_is_looked_up_once_for_all_who_wait_whenever_they_came(
    world: World, lookups: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    token = token_of(world.driver.device_token)

    told = await known(beliefs, [token] * CROWD)

    assert {id(one) for one in told} == {id(beliefs.held(token))}
    assert lookups.count == 1


async def test_an_unknown_token_is_looked_up_once_for_a_crowd_that_comes_meanwhile(
    world: World, lookups: Statements
) -> None:
    clock_s = 0.0
    beliefs = Beliefs(world.pool, monotonic=lambda: clock_s)
    forged = unknown(world)
    lookups.go_on.clear()
    first = asyncio.create_task(known(beliefs, [forged]))
    await lookups.answered.wait()
    crowd = asyncio.create_task(known(beliefs, [forged] * CROWD, NOW + MILLISECOND))
    await asyncio.sleep(0)
    lookups.go_on.set()

    told = [*await first, *await crowd, *await known(beliefs, [forged])]

    assert {type(one) for one in told} == {NotAuthenticated}
    assert lookups.count == 1
    clock_s = UNKNOWN_S_MAX + 1
    await known(beliefs, [forged])
    assert lookups.count == 2


async def test_who_waits_beside_an_unknown_token_is_known(
    world: World, fleet: list[Driver], lookups: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    forged = [unknown(world) for _ in range(3)]

    told = await known(beliefs, [*forged, *tokens_of(fleet)])

    assert [type(one) for one in told] == [NotAuthenticated] * 3 + [Belief] * FLEET
    assert lookups.count == 1


async def test_a_gate_that_cannot_be_read_refuses_only_its_own_driver(
    world: World, fleet: list[Driver]
) -> None:
    beliefs = Beliefs(world.pool)
    fine = await known(beliefs, tokens_of(fleet))
    await world.owner.execute(
        "UPDATE gate SET location_sources = '{pigeon}' WHERE driver_id = $1", fleet[2].member_id
    )

    told = await known(beliefs, tokens_of(fleet))
    confirmed = await asyncio.gather(
        *(
            beliefs.confirm(token, belief, NOW)
            for token, belief in zip(tokens_of(fleet), fine, strict=True)
            if isinstance(belief, Belief)
        ),
        return_exceptions=True,
    )

    expected = [ValueError if place == 2 else Belief for place in range(FLEET)]
    assert [type(one) for one in told] == expected
    assert [type(one) for one in confirmed] == expected


async def test_consent_is_answered_as_it_is_when_each_one_asks(
    world: World, fleet: list[Driver], lookups: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    before, after = tokens_of(fleet[:2])
    out = CONSENTED + VALID_FOR

    told = await asyncio.gather(
        beliefs.load(before, out - MILLISECOND), beliefs.load(after, out + MILLISECOND)
    )

    assert [one.consent for one in told] == [ConsentAnswer.GIVEN, ConsentAnswer.WITHDRAWN]
    assert [one.terms is None for one in told] == [False, True]
    assert lookups.count == 1


async def test_a_connection_that_died_is_no_fault_of_a_fleet(
    world: World, fleet: list[Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    beliefs = Beliefs(world.pool)
    read_some = gates.read_some
    dying = [True]

    async def killed(conn: db.Connection, *args: Any) -> Any:
        if dying:
            dying.pop()
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            await world.owner.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        return await read_some(conn, *args)

    monkeypatch.setattr(gates, "read_some", killed)

    told = await known(beliefs, tokens_of(fleet))

    assert [type(one) for one in told] == [Belief] * FLEET
    assert not dying


async def test_nothing_is_held_of_a_company_that_nobody_has_heard_of(
    world: World, lookups: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    lookups.go_on.clear()
    asking = [
        asyncio.create_task(beliefs.load(token_of(tokens.mint("jd", uuid7())[0]), NOW))
        for _ in range(3)
    ]
    await lookups.answered.wait()
    of_companies = list(beliefs._tokens._asking.values())  # noqa: SLF001 - what lies in memory
    for one in asking:
        one.cancel()
    lookups.go_on.set()
    await asyncio.wait([*asking, *of_companies])

    assert len(of_companies) == 3
    assert len(beliefs._tokens) == 0  # noqa: SLF001 - what lies in memory


async def confirmed(
    beliefs: Beliefs, believed: Sequence[tuple[Token, Belief]]
) -> list[Belief | BaseException]:
    return await asyncio.gather(
        *(beliefs.confirm(token, belief, NOW) for token, belief in believed), return_exceptions=True
    )


async def believed_of(beliefs: Beliefs, fleet: Sequence[Driver]) -> list[tuple[Token, Belief]]:
    devices = tokens_of(fleet)
    return [(one, await beliefs.known(one, NOW)) for one in devices]


async def test_the_beliefs_of_a_fleet_are_confirmed_with_one_question(
    world: World, fleet: list[Driver], gate_reads: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    believed = await believed_of(beliefs, fleet)
    gate_reads.count = 0

    told = await confirmed(beliefs, believed)

    assert [id(one) for one in told] == [id(one) for _, one in believed]
    assert gate_reads.count == 1


async def test_a_driver_without_a_gate_is_not_confirmed_and_the_others_are(
    world: World, fleet: list[Driver]
) -> None:
    beliefs = Beliefs(world.pool)
    believed = await believed_of(beliefs, fleet)
    await without_gate(world.owner, fleet[0])

    told = await confirmed(beliefs, believed)

    assert [type(one) for one in told] == [NotAuthenticated] + [Belief] * (FLEET - 1)
    assert beliefs.held(believed[0][0]) is None


async def without_gate(owner: "asyncpg.Connection[asyncpg.Record]", driver: Driver) -> None:
    async with owner.transaction():
        # Nothing but a whole erasure deletes a gate: what hangs on it is not looked at here.
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute("DELETE FROM gate WHERE driver_id = $1", driver.member_id)


async def test_a_belief_is_confirmed_by_a_question_that_began_after_it_was_doubted(
    world: World, fleet: list[Driver], gate_reads: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    believed = (await believed_of(beliefs, fleet))[:1]
    gate_reads.answered.clear()
    gate_reads.go_on.clear()
    early = asyncio.create_task(confirmed(beliefs, believed))
    await gate_reads.answered.wait()
    async with db.tenant(world.pool, world.company_id) as conn:
        await gates.bump_credentials(conn, world.company_id, fleet[0].member_id)
    late = asyncio.create_task(confirmed(beliefs, believed))
    await asyncio.sleep(0)
    gate_reads.go_on.set()

    (before,), (after,) = await early, await late

    assert before is believed[0][1]
    assert isinstance(after, Belief)
    assert after.gate.credential_epoch == believed[0][1].gate.credential_epoch + 1


async def test_confirming_ends_with_the_process(
    world: World, fleet: list[Driver], gate_reads: Statements
) -> None:
    beliefs = Beliefs(world.pool)
    believed = await believed_of(beliefs, fleet)
    gate_reads.answered.clear()
    gate_reads.go_on.clear()
    asking = asyncio.create_task(confirmed(beliefs, believed))
    await gate_reads.answered.wait()
    await beliefs.end()
    gate_reads.go_on.set()

    assert {type(one) for one in await asking} == {asyncio.CancelledError}
