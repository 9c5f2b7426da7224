"""Two at once: one answer wins, and no more questions wait than may."""

import asyncio
from collections import Counter
from dataclasses import replace
from uuid import UUID

from aiohttp import ClientSession

from server.clarifications import service, store
from server.clarifications.model import OPEN_MAX, ClarificationState
from server.kit import db
from server.ledger.model import ActorKind
from tests.clarifications.acts import (
    ABOUT,
    ASKED,
    MINE,
    People,
    answer,
    ask,
    asked,
    call,
    withdraw,
)
from tests.told import told
from tests.world import NOW, World

ROUNDS = 15


async def test_of_two_answers_at_once_one_wins(
    client: ClientSession, world: World, people: People
) -> None:
    for _ in range(ROUNDS):
        question = await asked(client, people.driver)

        both = await asyncio.gather(
            answer(client, people.dispatcher, question, "One."),
            answer(client, people.boss, question, "Two."),
        )

        assert sorted(status for status, _ in both) == [200, 409]
        (won,) = (told["answer"] for status, told in both if status == 200)
        _, found = await call(client, "GET", f"{MINE}?limit=1", people.driver)
        assert found["items"][0]["answer"] == won
    assert len(await told(world, world.driver.member_id)) == ROUNDS
    entries = await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE act = 'clarification_answered'"
    )
    assert entries == ROUNDS


async def test_of_an_answer_and_a_withdrawal_at_once_one_wins(
    client: ClientSession, people: People
) -> None:
    for _ in range(ROUNDS):
        question = await asked(client, people.driver)

        both = await asyncio.gather(
            answer(client, people.dispatcher, question), withdraw(client, people.driver, question)
        )

        assert sorted(status for status, _ in both) == [200, 409]


async def test_control_without_the_lock_both_answers_win(world: World) -> None:
    asked_one = await ask(world, world.driver.member_id, ActorKind.DRIVER)
    question = asked_one.clarification
    both_read = asyncio.Barrier(2)

    async def unguarded(text: bytes) -> bool:
        async with db.tenant(world.pool, world.company_id) as conn:
            (found,) = await store.of_member(
                conn, world.company_id, question.member_id, before=None, limit=1
            )
            await both_read.wait()
            if found.state is not ClarificationState.OPEN:
                return False
            closed = replace(
                found, state=ClarificationState.ANSWERED, closed_at=NOW, answer_sealed=text
            )
            await store.close(conn, world.company_id, closed)
        return True

    first, second = await asyncio.gather(unguarded(b"one"), unguarded(b"two"))

    assert (first, second) == (True, True)


async def test_no_more_wait_than_may_however_many_ask_at_once(
    client: ClientSession, world: World, people: People
) -> None:
    body = {**ABOUT, "question": "At once?"}

    answers = await asyncio.gather(
        *(call(client, "POST", MINE, people.driver, body) for _ in range(OPEN_MAX + 6))
    )

    assert Counter(status for status, _ in answers) == {201: OPEN_MAX, 409: 6}
    _, found = await call(client, "GET", f"{ASKED}?state=open", people.dispatcher)
    assert len(found["items"]) == OPEN_MAX
    rows = await world.owner.fetch("SELECT slot FROM clarification")
    assert {row["slot"] for row in rows} == set(range(1, OPEN_MAX + 1))


async def test_control_a_slot_that_another_took_is_not_written(world: World) -> None:
    shown = await ask(world, world.driver.member_id, ActorKind.DRIVER)
    second = replace(shown.clarification, clarification_id=UUID(int=9))

    async with db.tenant(world.pool, world.company_id) as conn:
        assert await store.slots(conn, world.company_id, world.driver.member_id) == {1}
        assert not await store.insert(conn, world.company_id, second, 1)
        assert await store.insert(conn, world.company_id, second, 2)


async def test_an_answer_that_waits_for_the_erasure_of_whoever_asked_finds_nothing(
    client: ClientSession, world: World, people: People
) -> None:
    question = await asked(client, people.driver)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.erase(conn, world.company_id, world.driver.member_id)
        waiting = asyncio.create_task(answer(client, people.dispatcher, question))
        await asyncio.sleep(0.2)
        assert not waiting.done()

    status, refused = await waiting

    assert (status, refused["code"]) == (404, "clarification-not-found")
