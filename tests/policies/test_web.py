"""Policies over HTTP."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.policies.model import AddedItem, ChangeClass, Document
from tests.http import Clock, bearer
from tests.policies.acts import TEXTS, accept, current, publish
from tests.world import NOW, World

DAY = timedelta(days=1)
SOON = timedelta(hours=1)
NOTICED = NOW + SOON - 30 * DAY
"""When an edition was noticed that comes into force soon."""
RUSSIAN_ONLY = {Locale.RU: TEXTS[Locale.RU]}


@pytest.mark.proves("relog-driver-manager-apps:7.2", "cargotechservice:5.2")
async def test_anybody_reads_the_text_in_force_with_its_edition_and_hash(
    client: ClientSession, shipped: World
) -> None:
    for document in Document:
        for language in Locale:
            shown = await current(client, shipped, document.value, language.value)

            assert shown["edition"] == 1
            assert shown["language"] == language.value
            assert shown["prevailing_language"] == "ru"
            assert shown["sha256"] == hashlib.sha256(shown["template"].encode()).hexdigest()
            assert "Aral Freight" in shown["text"]
            assert "{company_name}" in shown["template"]
            assert "{" not in shown["text"]
            assert shown["published_at"] == shown["effective_at"] == "2026-11-22T09:00:00Z"


@pytest.mark.proves("relog-service:8.4")
async def test_the_hash_of_the_prevailing_text_comes_with_every_translation(
    client: ClientSession, shipped: World
) -> None:
    russian = await current(client, shipped)
    kazakh = await current(client, shipped, language="kk")

    assert kazakh["authoritative_sha256"] == russian["sha256"] == russian["authoritative_sha256"]
    assert kazakh["sha256"] != russian["sha256"]


@pytest.mark.proves("relog-service:8.4")
async def test_a_missing_translation_falls_back_to_russian_says_so_and_is_recorded_so(
    client: ClientSession, shipped: World, clock: Clock
) -> None:
    made = await publish(shipped, texts=RUSSIAN_ONLY, now=NOTICED)
    clock.at = made.effective_at
    token = await _driver(shipped)

    shown = await current(client, shipped, language="kk")
    pretended = await accept(client, token, shown, language="kk")
    accepted = await accept(client, token, shown)

    assert (shown["asked_language"], shown["language"], shown["fell_back"]) == ("kk", "ru", True)
    assert pretended[1]["code"] == "policy-text-differs"
    assert accepted == (
        201,
        {
            "document": "driver_notice",
            "edition": 2,
            "language": "ru",
            "sha256": shown["sha256"],
            "accepted_at": "2026-11-22T13:00:00Z",
            "clarified": {"answered": [], "open": 0},
        },
    )


@pytest.mark.proves("cargotechservice:5.2")
async def test_any_edition_can_be_read_by_anybody_before_while_and_after_it_is_in_force(
    client: ClientSession, shipped: World
) -> None:
    await publish(shipped)

    listed = await _get(client, "/v1/policies", company_id=str(shipped.company_id))
    editions = [
        await _get(
            client,
            f"/v1/policies/driver_notice/editions/{number}",
            company_id=str(shipped.company_id),
        )
        for number in (1, 2)
    ]

    driver_notice = next(one for one in listed["items"] if one["document"] == "driver_notice")
    assert driver_notice["in_force"] == 1
    assert [one["edition"] for one in driver_notice["editions"]] == [1, 2]
    assert driver_notice["editions"][1]["effective_at"] == "2026-12-22T12:00:00Z"
    assert [one["edition"] for one in editions] == [1, 2]
    assert editions[1]["text"] == TEXTS[Locale.RU]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/policies/driver_notice/editions/3", "policy-edition-not-found"),
        ("/v1/policies/driver_notice/editions/0", "not-found"),
        ("/v1/policies/cookie_notice/current", "not-found"),
        ("/policies/cookie_notice", "not-found"),
    ],
)
async def test_what_was_never_published_is_not_there(
    client: ClientSession, shipped: World, path: str, code: str
) -> None:
    answer = await client.get(path, params={"company_id": str(shipped.company_id)})

    assert answer.status == 404
    assert (await answer.json())["code"] == code


async def test_a_company_that_is_not_there_has_no_policies(
    client: ClientSession,
    shipped: World,  # noqa: ARG001 - another company has
) -> None:
    nobody = "00000000-0000-7000-8000-00000000000f"
    for path in ("/v1/policies", "/v1/policies/driver_notice/current", f"/policies/{nobody}"):
        answer = await client.get(path, params={"company_id": nobody})
        assert (answer.status, (await answer.json())["code"]) == (404, "company-not-found")


@pytest.mark.proves("relog-service:1.2")
async def test_accepting_one_document_or_edition_never_accepts_another(
    client: ClientSession, shipped: World, clock: Clock
) -> None:
    token = await _driver(shipped)

    status, _ = await accept(client, token, await current(client, shipped, "privacy_notice"))
    first = await _get(client, "/v1/me/policy-acceptances", token=token)
    made = await publish(shipped, document=Document.PRIVACY_NOTICE, now=NOTICED)
    clock.at = made.effective_at
    later = await _get(client, "/v1/me/policy-acceptances", token=token)

    assert status == 201
    assert [(one["document"], one["edition"]) for one in first["items"]] == [("privacy_notice", 1)]
    assert first["outstanding"] == ["driver_notice", "device_notice"]
    assert later["outstanding"] == ["privacy_notice", "driver_notice", "device_notice"]
    assert later["items"] == first["items"]


async def test_a_hash_that_was_not_shown_is_refused_and_nothing_is_recorded(
    client: ClientSession, shipped: World
) -> None:
    token = await _driver(shipped)
    shown = await current(client, shipped)
    english = await current(client, shipped, language="en")

    for other in ({"sha256": "0" * 64}, {"sha256": english["sha256"]}, {"language": "en"}):
        status, told = await accept(client, token, shown, **other)
        assert (status, told["code"]) == (409, "policy-text-differs")
    status, told = await accept(client, token, shown, edition=2)
    assert (status, told["code"]) == (404, "policy-edition-not-found")

    assert await shipped.owner.fetchval("SELECT count(*) FROM policy_acceptance") == 0


async def test_an_outdated_edition_cannot_be_accepted(
    client: ClientSession, shipped: World, clock: Clock
) -> None:
    shown = await current(client, shipped)
    made = await publish(shipped, now=NOTICED)
    clock.at = made.effective_at

    status, told = await accept(client, await _driver(shipped), shown)

    assert (status, told["code"]) == (409, "policy-edition-outdated")


@pytest.mark.proves("kargo.az:changes")
async def test_the_difference_is_since_what_the_member_accepted_last(
    client: ClientSession, shipped: World
) -> None:
    token = await _driver(shipped)
    path = "/v1/policies/driver_notice/diff"
    unread = await _get(client, path, token=token)
    await accept(client, token, await current(client, shipped))
    same = await _get(client, path, token=token)
    changed = TEXTS[Locale.RU] + "\n" + "И ещё."
    second = await publish(shipped)
    await publish(
        shipped,
        effective_at=second.effective_at + DAY,
        texts={**TEXTS, Locale.RU: changed},
    )

    since_accepted = await _get(client, path, token=token)
    since_second = await _get(client, path, token=token, since="2")

    assert (unread["since"], unread["edition"]) == (None, 1)
    assert {one["kind"] for one in unread["changes"]} == {"added"}
    assert (same["since"], same["edition"], same["changes"]) == (1, 1, [])
    assert (since_accepted["since"], since_accepted["edition"]) == (1, 3)
    assert len(since_accepted["changes"]) > 10
    assert since_second["changes"] == [
        {"kind": "added", "heading": "Документ", "before": None, "after": "И ещё."}
    ]


async def test_editions_are_compared_in_a_language_that_both_have(
    client: ClientSession, shipped: World
) -> None:
    token = await _driver(shipped)
    await publish(shipped, texts=RUSSIAN_ONLY)

    found = await _get(
        client, "/v1/policies/driver_notice/diff", token=token, since="1", language="en"
    )

    assert (found["asked_language"], found["language"], found["fell_back"]) == ("en", "ru", True)


def _new_edition(**other: Any) -> dict[str, Any]:
    texts = {language.value: text for language, text in TEXTS.items()}
    return {"change_class": "material", "texts": texts, **other}


async def test_only_the_main_user_publishes(client: ClientSession, shipped: World) -> None:
    path = "/v1/policies/driver_notice/editions"
    for token in (await _driver(shipped), await shipped.session("dispatcher")):
        refused = await client.post(path, json=_new_edition(), headers=bearer(token))
        assert refused.status == 403

    token = await shipped.session("main_user")
    answer = await client.post(path, json=_new_edition(), headers=bearer(token))

    assert answer.status == 201
    made = await answer.json()
    assert (made["document"], made["edition"]) == ("driver_notice", 2)
    assert made["noticed_at"] == made["published_at"] == "2026-11-22T12:00:00Z"
    assert made["effective_at"] == "2026-12-22T12:00:00Z"


@pytest.mark.parametrize(
    ("other", "status", "code"),
    [
        ({"effective_at": "2026-12-22T11:59:00Z"}, 422, "policy-notice-too-short"),
        ({"change_class": "editorial", "effective_at": None}, 201, None),
        ({"change_class": "protective"}, 201, None),
        (
            {"change_class": "protective", "effective_at": "2026-12-22T11:59:00Z"},
            422,
            "policy-notice-too-short",
        ),
        (
            {"change_class": "protective", "effective_at": "2026-11-22T12:00:00Z"},
            422,
            "policy-notice-too-short",
        ),
        ({"change_class": "adds_purpose"}, 422, "policy-change-class-misplaced"),
        ({"change_class": "first"}, 422, "policy-change-class-misplaced"),
        ({"adds_purpose": "plan_fact"}, 422, "policy-change-class-misplaced"),
        ({"texts": {"en": "Text"}}, 422, "fields-invalid"),
        ({"texts": {"ru": " \n"}}, 422, "policy-text-unfit"),
        ({"texts": {"ru": "a\u202eb"}}, 422, "fields-invalid"),
        ({"texts": {"ru": "a\rb"}}, 422, "fields-invalid"),
        ({"noticed_at": "2026-10-01T00:00:00Z"}, 422, "fields-invalid"),
    ],
    ids=[
        "29 d 23 h 59 m",
        "30 d",
        "protective",
        "protective, 29 d 23 h 59 m",
        "protective at once",
        "names no purpose",
        "a second first",
        "names a purpose",
        "no Russian",
        "blank",
        "turned around",
        "carriage return",
        "backdated",
    ],
)
async def test_an_edition_that_would_not_bind_is_refused(
    client: ClientSession, shipped: World, other: dict[str, Any], status: int, code: str | None
) -> None:
    answer = await client.post(
        "/v1/policies/driver_notice/editions",
        json=_new_edition(**other),
        headers=bearer(await shipped.session("main_user")),
    )

    assert (answer.status, (await answer.json()).get("code")) == (status, code)


async def test_what_an_edition_adds_is_told_with_it(client: ClientSession, shipped: World) -> None:
    await publish(shipped, ChangeClass.ADDS_PURPOSE, purpose=AddedItem.CUSTOMER_LINK)

    shown = await _get(
        client, "/v1/policies/driver_notice/editions/2", company_id=str(shipped.company_id)
    )

    assert (shown["change_class"], shown["adds_purpose"]) == ("adds_purpose", "customer_link")


@pytest.mark.proves("qoldau:contacts")
async def test_the_texts_show_the_companys_particulars_and_their_hash_does_not_change(
    client: ClientSession, shipped: World
) -> None:
    before = await current(client, shipped)
    stated = {"bin": "123456789012", "privacy_contact": "privacy@aral.example"}
    path = "/v1/policies/controller"
    token = await shipped.session("dispatcher")
    refused = await client.put(path, json=stated, headers=bearer(token))
    token = await shipped.session("main_user")
    answer = await client.put(path, json=stated, headers=bearer(token))

    after = await current(client, shipped)

    assert "БИН не указан" in before["text"]
    assert "Aral Freight, БИН 123456789012" in after["text"]
    assert "privacy@aral.example" in after["text"]
    assert after["sha256"] == before["sha256"]
    assert (refused.status, answer.status) == (403, 200)
    assert await answer.json() == {"company_name": "Aral Freight", **stated}


@pytest.mark.parametrize(
    "number", ["12345678901", "1234567890123", "12345678901x", "", "١٢٣٤٥٦٧٨٩٠١٢"]
)
async def test_a_business_number_has_twelve_digits(
    client: ClientSession, shipped: World, number: str
) -> None:
    answer = await client.put(
        "/v1/policies/controller",
        json={"bin": number, "privacy_contact": None},
        headers=bearer(await shipped.session("main_user")),
    )

    assert answer.status == 422


async def _driver(world: World) -> str:
    return await world.driver_session()


async def _get(
    client: ClientSession, path: str, *, token: str | None = None, **query: str
) -> dict[str, Any]:
    answer = await client.get(path, params=query, headers=bearer(token) if token else {})
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def test_the_longest_texts_fit_in_one_request(client: ClientSession, shipped: World) -> None:
    long = "я" * 79 + "\n"
    texts = {language.value: long * (40_000 // 80) for language in Locale}

    answer = await client.post(
        "/v1/policies/driver_notice/editions",
        json=_new_edition(texts=texts),
        headers=bearer(await shipped.session("main_user")),
    )

    assert answer.status == 201, await answer.text()
