"""What was answered before somebody agreed stands in the evidence that they agreed."""

import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.clarifications import service
from server.consent import record
from server.consent import service as consent
from server.consent.model import ConsentItem
from server.kit import db
from server.kit.wire import rfc3339
from server.policies.model import Clarified, Document
from tests import consents
from tests.clarifications.acts import People, acts, answer, asked, call, withdraw
from tests.consents import NOTICE_BODY
from tests.http import Clock
from tests.told import last_entry
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)
ACCEPTANCES = "/v1/me/policy-acceptances"


async def accepted(client: ClientSession, people: People) -> Any:
    status, told = await call(client, "POST", ACCEPTANCES, people.driver, NOTICE_BODY)
    assert status == 201, told
    return told


def evidence(*answered: tuple[Any, str], still_open: int = 0) -> dict[str, Any]:
    return {
        "answered": [
            {"clarification_id": question["clarification_id"], "answered_at": at}
            for question, at in answered
        ],
        "open": still_open,
    }


@pytest.mark.proves("relog-service:8.3")
async def test_an_acceptance_names_the_questions_that_were_answered_before_it(
    client: ClientSession, world: World, people: People, clock: Clock
) -> None:
    answered = [await asked(client, people.driver) for _ in range(2)]
    await asked(client, people.driver)  # stays open
    await withdraw(client, people.driver, await asked(client, people.driver))
    for one in answered:
        clock.at += MINUTE
        await answer(client, people.dispatcher, one)
    clock.at += MINUTE

    told = await accepted(client, people)

    first, second = answered
    expected = evidence(
        (first, rfc3339(NOW + MINUTE)), (second, rfc3339(NOW + 2 * MINUTE)), still_open=1
    )
    assert told["clarified"] == expected
    act, _, facts = await last_entry(world)
    assert act == "edition_accepted"
    assert (facts["clarifications_answered"], facts["clarifications_open"]) == (2, 1)
    # Each entry of the ledger stands after what it says came before.
    assert (await acts(world))[-3:] == [
        "clarification_answered",
        "clarification_answered",
        "edition_accepted",
    ]


@pytest.mark.proves("relog-service:8.3")
async def test_what_is_answered_later_never_gets_into_an_acceptance(
    client: ClientSession, people: People, clock: Clock
) -> None:
    question = await asked(client, people.driver)
    before = await accepted(client, people)
    clock.at += MINUTE
    await answer(client, people.dispatcher, question)
    clock.at += MINUTE

    again = await accepted(client, people)
    _, listed = await call(client, "GET", ACCEPTANCES, people.driver)

    assert before["clarified"] == evidence(still_open=1)
    assert again == before
    assert listed["items"] == [before]


async def test_evidence_is_of_one_document_edition_and_member(
    client: ClientSession, world: World, people: People, clock: Clock
) -> None:
    others = [
        await asked(client, people.driver, document="privacy_notice"),
        await asked(client, people.boss),
    ]
    for one in others:
        await answer(client, people.dispatcher, one)
    clock.at += MINUTE

    assert (await accepted(client, people))["clarified"] == evidence()
    async with db.tenant(world.pool, world.company_id) as conn:
        about = (Document.DRIVER_NOTICE, 2, clock.at)
        found = await service.answered_before(
            conn, world.company_id, world.driver.member_id, *about
        )
    assert found == Clarified()


@pytest.mark.proves("relog-service:8.3")
@pytest.mark.parametrize("given", ["given", "declined"])
async def test_a_consents_record_names_the_questions_that_were_answered_before_it(
    client: ClientSession, people: People, clock: Clock, given: str
) -> None:
    question = await asked(client, people.driver)
    await asked(client, people.driver)
    clock.at += MINUTE
    await answer(client, people.dispatcher, question)
    clock.at += MINUTE

    status, _ = await call(
        client, "POST", "/v1/me/consents", people.driver, consents.body("customer_link", given)
    )
    _, records = await call(client, "GET", "/v1/me/consents/records", people.driver)

    assert status == 201
    written = records["items"][-1]
    notice = written["record"]["pii_processing"]["privacy_notice"]
    assert notice["clarified"] == evidence((question, rfc3339(NOW + MINUTE)), still_open=1)
    # The record's hash, which the receipt signs and the ledger commits to, covers it.
    assert written["record_sha256"] == record.digest(record.canonical(written["record"])).hex()
    assert list(record.faults(written["record"])) == []
    forged = json.loads(json.dumps(written["record"]))
    forged["pii_processing"]["privacy_notice"]["clarified"]["open"] = 0
    assert record.digest(record.canonical(forged)).hex() != written["record_sha256"]


async def test_without_questions_the_record_says_that_there_were_none(
    client: ClientSession, people: People
) -> None:
    await call(client, "POST", "/v1/me/consents", people.driver, consents.body("marketing"))
    _, records = await call(client, "GET", "/v1/me/consents/records", people.driver)

    notice = records["items"][-1]["record"]["pii_processing"]["privacy_notice"]
    assert notice["clarified"] == evidence()


async def test_what_takes_a_consent_away_asks_for_no_clarification(
    client: ClientSession, world: World, people: People
) -> None:
    await call(client, "POST", "/v1/me/consents", people.driver, consents.body("marketing"))
    await asked(client, people.driver)
    key = (world.company_id, world.driver.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        taken = await consent.withdraw(conn, *key, ConsentItem.MARKETING, now=NOW)

    repeated = json.loads(taken.record or "")["pii_processing"]["privacy_notice"]
    assert repeated["clarified"] == evidence()


@pytest.mark.parametrize(
    "part", [{"open": -1}, {"answered": [{}]}, {"answered": None}, {"text": "What?"}]
)
async def test_a_record_with_other_evidence_does_not_fit_its_form(
    client: ClientSession, people: People, part: dict[str, Any]
) -> None:
    await call(client, "POST", "/v1/me/consents", people.driver, consents.body("marketing"))
    _, records = await call(client, "GET", "/v1/me/consents/records", people.driver)
    found = records["items"][-1]["record"]

    found["pii_processing"]["privacy_notice"]["clarified"] |= part

    assert list(record.faults(found)) != []
