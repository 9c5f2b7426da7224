import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.credentials.model import Role
from server.kit import openapi
from server.kit.ids import uuid7
from server.ledger import service as ledger
from server.notice_kinds.kinds import NoticeKind
from server.notices.web import ENDPOINTS
from tests.delivery.mail import Mailbox, smtp_server
from tests.delivery.stage import deliverer
from tests.http import Clock, bearer, serve
from tests.kit.schema_walk import unbounded
from tests.notices.asking import get, status_of
from tests.notices.stage import EMAIL, Reader, add_reader, agree, tell
from tests.world import NOW, World


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, clock=Clock(NOW)) as opened:
        yield opened


@pytest.fixture
async def driver(world: World) -> Reader:
    return await add_reader(world, locale=Locale.EN)


@pytest.fixture
async def dispatcher(world: World) -> Reader:
    return await add_reader(world, role=Role.DISPATCHER, email="dana@company.example", phone=None)


async def wish(client: ClientSession, reader: Reader, body: object) -> tuple[int, Any]:
    async with client.patch(
        "/v1/me/notice-preferences", json=body, headers=bearer(reader.session)
    ) as answer:
        return answer.status, await answer.json()


async def deliver(world: World) -> None:
    async with smtp_server(Mailbox()) as server:
        sender = deliverer(world, server)
        await sender.deliver_due(world.company_id, NOW)


# ---- a member's own


@pytest.mark.parametrize("written", [False, True])
async def test_a_member_reads_what_they_were_told(
    world: World, client: ClientSession, driver: Reader, *, written: bool
) -> None:
    notice_id = await tell(world, driver.member_id)
    if written:
        await deliver(world)

    page = await get(client, driver, "/v1/me/notices")

    assert page == {
        "items": [
            {
                "notice_id": str(notice_id),
                "kind": "device_added",
                "category": "service",
                "language": "en",
                "title": "A device was added",
                "text": "A device was added to your account at Aral Freight: "
                "22 November 2026, 17:00 (UTC+5).\n\n"
                "If it was not you, disconnect it in Jolda and tell your dispatcher.",
                "queued_at": "2026-11-22T12:00:00Z",
                "seen_at": None,
            }
        ],
        "next_cursor": None,
    }


async def test_notices_come_newest_first_by_pages(
    world: World, client: ClientSession, driver: Reader
) -> None:
    told = [str(await tell(world, driver.member_id)) for _ in range(5)]

    pages = [await get(client, driver, "/v1/me/notices?limit=2")]
    for _ in range(2):
        cursor = pages[-1]["next_cursor"]
        pages.append(await get(client, driver, f"/v1/me/notices?limit=2&cursor={cursor}"))

    assert [len(one["items"]) for one in pages] == [2, 2, 1]
    assert pages[-1]["next_cursor"] is None
    listed = [one["notice_id"] for page in pages for one in page["items"]]
    assert listed == sorted(told, reverse=True)


async def test_what_was_seen_is_recorded_once_and_in_the_ledger(
    world: World, client: ClientSession, driver: Reader
) -> None:
    notice_id = await tell(world, driver.member_id)
    path = f"/v1/me/notices/{notice_id}/seen"

    await get(client, driver, "/v1/me/notices")
    assert await status_of(client, driver, "POST", path) == 204
    assert await status_of(client, driver, "POST", path) == 204

    (shown,) = (await get(client, driver, "/v1/me/notices"))["items"]
    assert shown["seen_at"] == "2026-11-22T12:00:00Z"
    assert (await get(client, driver, "/v1/me/notices?unseen=true"))["items"] == []
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute(f"SET LOCAL app.company_id = '{world.company_id}'")
        written = await ledger.entries_about(conn, world.company_id, driver.member_id, limit=9)
    assert [one.act for one in written] == ["notice_sent", "notice_acknowledged"]


async def language_kept(world: World, client: ClientSession, reader: Reader) -> tuple[str, str]:
    """Show a notice, then change the reader's language; return what was shown and what is kept."""
    await tell(world, reader.member_id)
    (shown,) = (await get(client, reader, "/v1/me/notices"))["items"]
    await world.owner.execute(
        "UPDATE member SET locale = 'ru' WHERE member_id = $1", reader.member_id
    )
    async with smtp_server(mailbox := Mailbox()) as server:
        await deliverer(world, server).deliver_due(world.company_id, NOW)
    (kept,) = (await get(client, reader, "/v1/me/notices"))["items"]
    assert mailbox.messages()[0]["Content-Language"] == kept["language"]
    return shown["language"], kept["language"]


async def test_what_was_shown_before_it_was_sent_is_kept_and_sent_as_shown(
    world: World, client: ClientSession, driver: Reader
) -> None:
    assert await language_kept(world, client, driver) == ("en", "en")


async def test_readers_who_look_while_the_sender_writes_are_shown_what_is_kept(
    world: World, client: ClientSession, driver: Reader
) -> None:
    for _ in range(5):
        await tell(world, driver.member_id)

    async with smtp_server(Mailbox()) as server:
        sender = deliverer(world, server)
        pages = await asyncio.gather(
            *(get(client, driver, "/v1/me/notices") for _ in range(4)),
            sender.deliver_due(world.company_id, NOW),
        )

    assert all(one["language"] == "en" for page in pages[:4] for one in page["items"])
    sent = await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE act = 'notice_sent' AND facts LIKE '%in_app%'"
    )
    assert sent == 5


async def test_nobody_sees_or_answers_for_what_another_was_told(
    world: World, client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    notice_id = await tell(world, driver.member_id)

    seen = f"/v1/me/notices/{notice_id}/seen"
    assert await status_of(client, dispatcher, "POST", seen) == 404
    nothing = f"/v1/me/notices/{uuid7()}/seen"
    assert await status_of(client, driver, "POST", nothing) == 404
    assert (await get(client, dispatcher, "/v1/me/notices"))["items"] == []


async def test_marketing_is_not_among_the_notices_in_the_app(
    world: World, client: ClientSession, driver: Reader
) -> None:
    notice_id = await tell(
        world, driver.member_id, NoticeKind.MARKETING_NEWS, headline="x", message="y"
    )

    assert (await get(client, driver, "/v1/me/notices"))["items"] == []
    seen = f"/v1/me/notices/{notice_id}/seen"
    assert await status_of(client, driver, "POST", seen) == 404


# ---- what a member wants


@pytest.mark.proves(
    "kargo.az:choice-subscriptions", "gocargo:how-we-use-1-newsletters", "cargotechservice:2.1.2"
)
async def test_marketing_is_off_at_first_and_switched_channel_by_channel(
    world: World, client: ClientSession, driver: Reader
) -> None:
    first = await get(client, driver, "/v1/me/notice-preferences")
    await agree(world, driver.member_id, "marketing")
    status, changed = await wish(client, driver, {"marketing": {"sms": False, "push": False}})
    again = await wish(client, driver, {"marketing": {"sms": False, "email": None}})

    always = {"in_app": True, "email": True, "sms": True, "push": True}
    assert first == {
        "service": always,
        "marketing": {"email": False, "sms": False, "push": False},
        "changed_at": None,
    }
    assert status == 200
    assert changed == {
        "service": always,
        "marketing": {"email": True, "sms": False, "push": False},
        "changed_at": "2026-11-22T12:00:00Z",
    }
    assert again == (200, changed)


@pytest.mark.proves("gocargo:how-we-use-2-notices")
@pytest.mark.parametrize("channel", ["in_app", "email", "sms", "push"])
async def test_service_notices_cannot_be_switched_off(
    world: World, client: ClientSession, driver: Reader, channel: str
) -> None:
    await agree(world, driver.member_id, "marketing")
    body = {"service": {channel: False}, "marketing": {"email": False}}

    status, problem = await wish(client, driver, body)

    assert status == 409
    assert problem["code"] == "service-notice-not-refusable"
    found = await get(client, driver, "/v1/me/notice-preferences")
    assert found["marketing"]["email"] is True
    assert (await wish(client, driver, {"service": {channel: True}}))[0] == 200


async def test_a_driver_who_did_not_consent_is_told_to_do_that_first(
    client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    status, problem = await wish(client, driver, {"marketing": {"email": True}})

    assert (status, problem["code"]) == (409, "marketing-consent-needed")
    assert (await wish(client, driver, {"marketing": {"email": False}}))[0] == 200
    assert (await wish(client, dispatcher, {"marketing": {"email": True}}))[0] == 200


@pytest.mark.parametrize(
    "body", [{"marketing": {"in_app": True}}, {"marketing": {"email": 1}}, {"market": {}}, []]
)
async def test_a_wish_that_does_not_fit_is_refused(
    client: ClientSession, driver: Reader, body: object
) -> None:
    assert (await wish(client, driver, body))[0] == 422


# ---- news


async def test_nobody_but_a_main_user_sends_news(
    client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    for reader in (driver, dispatcher):
        assert await status_of(client, reader, "POST", "/v1/news") == 403


async def test_news_go_to_who_asked_once_however_often_they_are_sent(
    world: World, client: ClientSession, driver: Reader
) -> None:
    main_user = await add_reader(
        world, role=Role.MAIN_USER, email="main@company.example", phone=None
    )
    await agree(world, driver.member_id, "marketing")
    body = {"news_id": str(uuid7()), "headline": "Winter tyres", "message": "Ten per cent off."}
    mailbox = Mailbox()

    answers = []
    for _ in range(2):
        async with client.post("/v1/news", json=body, headers=bearer(main_user.session)) as answer:
            answers.append((answer.status, await answer.json()))
    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        await sender.deliver_due(world.company_id, NOW)

    assert answers == [(202, {"members": 1})] * 2
    (mail,) = mailbox.messages()
    assert mail["To"] == EMAIL
    assert mail["Subject"] == "Winter tyres"
    assert "Ten per cent off." in mail.get_content()


def test_everything_a_caller_may_send_is_bounded() -> None:
    document = openapi.document(ENDPOINTS, title="Jolda", version="0", security={})

    assert unbounded(document) == []
