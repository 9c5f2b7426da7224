"""Asking what an edition means, and being answered, over HTTP."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession

from server.clarifications.model import OPEN_MAX, TEXT_CHARS_MAX
from server.kit.wire import rfc3339
from tests.clarifications.acts import (
    ABOUT,
    ANSWER,
    ASKED,
    MINE,
    QUESTION,
    People,
    acts,
    answer,
    asked,
    call,
    withdraw,
)
from tests.http import Clock
from tests.told import is_about, last_entry, told
from tests.world import NOW, World, add_company, add_member, open_session

LATER = NOW + timedelta(hours=2)


async def test_a_driver_asks_staff_answers_and_both_read_it(
    client: ClientSession, world: World, people: People, clock: Clock
) -> None:
    question = await asked(client, people.driver)
    _, waiting = await call(client, "GET", ASKED, people.dispatcher)
    clock.at = LATER
    status, answered = await answer(client, people.dispatcher, question)
    _, mine = await call(client, "GET", MINE, people.driver)

    open_one = {
        "clarification_id": question["clarification_id"],
        **ABOUT,
        "state": "open",
        "asked_at": rfc3339(NOW),
        "question": QUESTION,
        "answered_at": None,
        "answered_by": None,
        "answer": None,
        "withdrawn_at": None,
    }
    asker = {"member_id": str(world.driver.member_id), "asked_by": "Aidos Testov"}
    done = {
        "state": "answered",
        "answered_at": rfc3339(LATER),
        "answered_by": "Dana Dispatch",
        "answer": ANSWER,
    }
    assert question == open_one
    assert waiting["items"] == [open_one | asker]
    assert (status, answered) == (200, open_one | asker | done)
    assert mine == {"items": [open_one | done], "next_cursor": None}


async def test_the_ledger_holds_which_edition_and_no_word_of_it(
    client: ClientSession, world: World, people: People
) -> None:
    question = await asked(client, people.driver)
    entries = [await last_entry(world)]
    assert await is_about(world, world.driver.member_id)
    await answer(client, people.dispatcher, question)
    entries.append(await last_entry(world))

    facts = {"document": "driver_notice", "edition": 1}
    assert [(act, who, {**said, "detail": None}) for act, who, said in entries] == [
        ("clarification_asked", "driver", {**facts, "detail": None}),
        ("clarification_answered", "dispatcher", {**facts, "detail": None}),
    ]
    assert await is_about(world, world.driver.member_id)


async def test_question_and_answer_stand_nowhere_in_plain_nor_in_the_log(
    client: ClientSession, world: World, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        question = await asked(client, people.driver, "canary-question")
        await answer(client, people.dispatcher, question, "canary-answer")

    rows = [
        row["row"]
        for table in ("clarification", "notice", "ledger_entry")
        for row in await world.owner.fetch(f"SELECT t::text AS row FROM {table} t")  # noqa: S608 - named here
    ]
    assert len(rows) >= 4
    for canary in ("canary-question", "canary-answer"):
        assert not [row for row in rows if canary in row or canary.encode().hex() in row]
        assert canary not in caplog.text


async def test_main_users_are_told_that_a_question_waits_and_the_driver_that_it_was_answered(
    client: ClientSession, world: World, people: People
) -> None:
    question = await asked(client, people.driver)
    await answer(client, people.dispatcher, question)

    which = {"document": "driver_notice", "edition": "1", "asked_at": rfc3339(NOW)}
    assert await told(world, people.boss_id) == [("clarification_asked", which)]
    assert await told(world, people.dispatcher_id) == []
    assert await told(world, world.driver.member_id) == [("clarification_answered", which)]
    for token, words in ((people.boss, "waits for an answer"), (people.driver, "was answered")):
        _, shown = await call(client, "GET", "/v1/me/notices", token)
        (notice,) = shown["items"]
        assert words in notice["title"]
        assert not [text for text in notice.values() if QUESTION[:10] in str(text)]
        assert not [text for text in notice.values() if ANSWER in str(text)]


async def test_a_question_is_answered_once(
    client: ClientSession, world: World, people: People
) -> None:
    question = await asked(client, people.driver)
    await answer(client, people.dispatcher, question)

    status, refused = await answer(client, people.boss, question, "Something else.")
    withdrawn = await withdraw(client, people.driver, question)

    assert (status, refused["code"]) == (409, "clarification-act-refused")
    assert (withdrawn[0], withdrawn[1]["code"]) == (409, "clarification-act-refused")
    _, mine = await call(client, "GET", MINE, people.driver)
    assert (mine["items"][0]["answer"], mine["items"][0]["state"]) == (ANSWER, "answered")
    assert await acts(world) == ["clarification_asked", "clarification_answered"]


async def test_a_withdrawn_question_is_the_drivers_alone_and_cannot_be_answered(
    client: ClientSession, world: World, people: People, clock: Clock
) -> None:
    question = await asked(client, people.driver)
    first = await withdraw(client, people.driver, question)
    clock.at = LATER
    again = await withdraw(client, people.driver, question)
    refused = await answer(client, people.dispatcher, question)

    assert first == again
    assert (first[0], first[1]["state"], first[1]["question"]) == (200, "withdrawn", QUESTION)
    assert first[1]["withdrawn_at"] == rfc3339(NOW)
    assert (refused[0], refused[1]["code"]) == (409, "clarification-act-refused")
    assert (await call(client, "GET", ASKED, people.dispatcher))[1]["items"] == []
    assert len((await call(client, "GET", MINE, people.driver))[1]["items"]) == 1
    assert await acts(world) == ["clarification_asked", "clarification_withdrawn"]


async def test_only_whoever_asked_withdraws_and_reads_it_as_their_own(
    client: ClientSession, people: People
) -> None:
    question = await asked(client, people.driver)

    for token in (people.dispatcher, people.boss):
        status, refused = await withdraw(client, token, question)
        assert (status, refused["code"]) == (404, "clarification-not-found")
        assert (await call(client, "GET", MINE, token))[1]["items"] == []


async def test_a_driver_neither_reads_others_questions_nor_answers(
    client: ClientSession, people: People
) -> None:
    question = await asked(client, people.driver)

    assert (await call(client, "GET", ASKED, people.driver))[0] == 403
    assert (await answer(client, people.driver, question))[0] == 403
    assert (await call(client, "GET", ASKED, None))[0] == 401


async def test_staff_ask_too_but_nobody_answers_themself(
    client: ClientSession, world: World, people: People
) -> None:
    question = await asked(client, people.boss)

    status, refused = await answer(client, people.boss, question)
    answered = await answer(client, people.dispatcher, question)

    assert (status, refused["code"]) == (403, "clarification-own")
    assert answered[0] == 200
    # Whoever asks is not told that they asked.
    assert [kind for kind, _ in await told(world, people.boss_id)] == ["clarification_answered"]


async def test_another_company_finds_nothing(
    client: ClientSession, world: World, people: People
) -> None:
    question = await asked(client, people.driver)
    company_id = await add_company(world.vault, world.owner)
    stranger = await add_member(world.vault, world.pool, company_id, role="main_user")
    token = await open_session(world.pool, company_id, stranger)

    answered = await answer(client, token, question)
    withdrawn = await withdraw(client, token, question)

    assert answered[1]["code"] == withdrawn[1]["code"] == "clarification-not-found"
    assert (answered[0], withdrawn[0]) == (404, 404)
    for path in (ASKED, MINE):
        assert (await call(client, "GET", path, token))[1]["items"] == []
    assert await told(world, stranger) == []


async def test_open_ones_come_first_page_by_page_also_while_they_are_answered(
    client: ClientSession, people: People
) -> None:
    questions = [await asked(client, people.driver, f"Question {one}") for one in range(5)]
    for one in (0, 2):
        await answer(client, people.dispatcher, questions[one])

    async def page(cursor: str | None) -> tuple[list[str], str | None]:
        more = "" if cursor is None else f"&cursor={cursor}"
        _, found = await call(client, "GET", f"{ASKED}?limit=2{more}", people.dispatcher)
        return [one["question"][-1] for one in found["items"]], found["next_cursor"]

    first, cursor = await page(None)
    await answer(client, people.dispatcher, questions[1])
    second, cursor = await page(cursor)
    third, cursor = await page(cursor)

    assert (first, second, third, cursor) == (["1", "3"], ["4", "0"], ["1", "2"], None)
    _, waiting = await call(client, "GET", f"{ASKED}?state=open", people.dispatcher)
    _, done = await call(client, "GET", f"{ASKED}?state=answered", people.dispatcher)
    assert [one["question"][-1] for one in waiting["items"]] == ["3", "4"]
    assert [one["question"][-1] for one in done["items"]] == ["0", "1", "2"]


async def test_the_own_ones_come_newest_first_page_by_page(
    client: ClientSession, people: People
) -> None:
    for one in range(3):
        await asked(client, people.driver, f"Question {one}")

    _, first = await call(client, "GET", f"{MINE}?limit=2", people.driver)
    _, rest = await call(client, "GET", f"{MINE}?cursor={first['next_cursor']}", people.driver)

    pages = [[one["question"][-1] for one in found["items"]] for found in (first, rest)]
    assert pages == [["2", "1"], ["0"]]
    assert rest["next_cursor"] is None


async def test_so_many_may_wait_and_an_answer_or_a_withdrawal_makes_room(
    client: ClientSession, people: People
) -> None:
    questions = [await asked(client, people.driver) for _ in range(OPEN_MAX)]
    body = {**ABOUT, "question": QUESTION}

    status, refused = await call(client, "POST", MINE, people.driver, body)

    assert (status, refused["code"]) == (409, "clarifications-too-many")
    await asked(client, people.boss)  # others have room of their own
    await answer(client, people.dispatcher, questions[3])
    await withdraw(client, people.driver, questions[7])
    for expected in (201, 201, 409):
        assert (await call(client, "POST", MINE, people.driver, body))[0] == expected


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"question": ""}, 422, "fields-invalid"),
        ({"question": " \n "}, 422, "clarification-blank"),
        ({"question": "x" * (TEXT_CHARS_MAX + 1)}, 422, "fields-invalid"),
        ({"question": "a\u202eb"}, 422, "fields-invalid"),
        ({"question": "a\rb"}, 422, "fields-invalid"),
        ({"question": None}, 422, "fields-invalid"),
        ({"edition": 2}, 404, "policy-edition-not-found"),
        ({"edition": 0}, 422, "fields-invalid"),
        ({"document": "cookie_notice"}, 422, "fields-invalid"),
        ({"language": "de"}, 422, "fields-invalid"),
        ({"member_id": str(uuid4())}, 422, "fields-invalid"),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_tells_nobody(
    client: ClientSession,
    world: World,
    people: People,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    body = {**ABOUT, "question": QUESTION, **change}

    found, refused = await call(client, "POST", MINE, people.driver, body)

    assert (found, refused["code"]) == (status, code)
    assert await world.owner.fetchval("SELECT count(*) FROM clarification") == 0
    assert await told(world, people.boss_id) == []


@pytest.mark.parametrize("text", ["x" * TEXT_CHARS_MAX, "Қайтіп?\n\nYes: 🚚"])
async def test_a_long_or_many_lined_text_comes_back_as_it_was(
    client: ClientSession, people: People, text: str
) -> None:
    question = await asked(client, people.driver, text)
    _, answered = await answer(client, people.dispatcher, question, text)

    assert (question["question"], answered["answer"]) == (text, text)


@pytest.mark.parametrize("text", ["", "  ", "x" * (TEXT_CHARS_MAX + 1)])
async def test_what_is_no_answer_leaves_the_question_open(
    client: ClientSession, people: People, text: str
) -> None:
    question = await asked(client, people.driver)

    status, _ = await answer(client, people.dispatcher, question, text)

    assert status == 422
    _, waiting = await call(client, "GET", f"{ASKED}?state=open", people.dispatcher)
    assert [one["answer"] for one in waiting["items"]] == [None]


@pytest.mark.parametrize(
    "query", ["state=withdrawn", "cursor=x", "limit=0", "limit=201", "member_id=1"]
)
async def test_a_query_that_does_not_fit_is_refused(
    client: ClientSession, people: People, query: str
) -> None:
    assert (await call(client, "GET", f"{ASKED}?{query}", people.dispatcher))[0] == 422


async def test_where_a_translation_is_missing_the_text_that_was_shown_is_named(
    client: ClientSession, world: World, people: People
) -> None:
    await world.owner.execute(
        "DELETE FROM policy_text WHERE document = 'device_notice' AND language = 'kk'"
    )

    question = await asked(client, people.driver, document="device_notice", language="kk")

    assert question["language"] == "ru"


async def test_a_question_that_is_not_there_is_not_found(
    client: ClientSession, people: People
) -> None:
    nothing = {"clarification_id": str(UUID(int=7))}

    assert (await answer(client, people.dispatcher, nothing))[0] == 404
    assert (await withdraw(client, people.driver, nothing))[0] == 404
