import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from time import monotonic
from uuid import UUID

import pytest

from server.consent.model import VALID_FOR
from server.credentials.model import Role
from server.delivery.deliverer import Deliverer
from server.kit import db
from server.kit.ids import uuid7
from server.notice_kinds.kinds import MARKETING_CHANNELS, Channel
from server.notices import preference_store, service
from server.notices.model import MarketingConsentNeeded
from tests.delivery.http_port import Adapter, adapter_server
from tests.delivery.mail import Mailbox, smtp_server
from tests.delivery.stage import deliverer, happened
from tests.notices.stage import (
    Reader,
    add_reader,
    agree,
    take_back,
    tell,
    tell_news,
    want,
)
from tests.world import NOW, World

ROUNDS = 25


@pytest.fixture
async def reader(world: World) -> Reader:
    return await add_reader(world)


async def wanted(world: World, reader: Reader) -> list[Channel]:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await service.preference(conn, world.company_id, reader.member_id)
    return [channel for channel, wanted in found.wanted.items() if wanted]


@pytest.mark.proves("relog-service:3.1", "relog-service:3.4", "cargotechservice:2.1.2")
async def test_marketing_is_off_until_it_is_asked_for(world: World, reader: Reader) -> None:
    mailbox = Mailbox()
    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        unasked = await tell_news(world, reader.member_id)
        await sender.deliver(world.company_id, unasked, NOW)
        await want(world, reader.member_id, email=True)
        asked = await tell_news(world, reader.member_id)
        await sender.deliver_due(world.company_id, NOW)

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        other = await service.preference(conn, world.company_id, world.driver.member_id)
    assert other.wanted == dict.fromkeys(MARKETING_CHANNELS, False)
    assert other.changed_at is None
    assert await happened(world, unasked, Channel.EMAIL) == ["queued", "withheld: not_consented"]
    assert await happened(world, asked, Channel.EMAIL) == ["queued", "handed_over"]
    assert len(mailbox.got) == 1


@pytest.mark.proves("kargo.az:choice-subscriptions")
async def test_an_opt_out_on_one_channel_leaves_the_others(world: World, reader: Reader) -> None:
    await want(world, reader.member_id, email=True, sms=True)
    await want(world, reader.member_id, sms=False)

    assert await wanted(world, reader) == [Channel.EMAIL]


# ---- a driver's consent and what they choose under it are one truth


async def test_giving_the_consent_switches_on_what_ending_it_switches_off(
    world: World, reader: Reader
) -> None:
    assert await wanted(world, reader) == []

    await agree(world, reader.member_id, "marketing")
    assert await wanted(world, reader) == list(MARKETING_CHANNELS)

    await take_back(world, reader.member_id, "marketing")
    assert await wanted(world, reader) == []


async def test_without_the_consent_a_driver_can_wish_for_nothing(
    world: World, reader: Reader
) -> None:
    with pytest.raises(MarketingConsentNeeded):
        await wish(world, reader, email=True)

    assert await wish(world, reader, email=False) == []
    assert await news_go_to(world) == 0


async def test_who_is_no_driver_needs_no_consent_cell(world: World) -> None:
    staff = await add_reader(world, role=Role.DISPATCHER, email="dana@company.example", phone=None)

    assert await wish(world, staff, by=Role.DISPATCHER, email=True) == [Channel.EMAIL]
    assert await news_go_to(world) == 1


async def wish(
    world: World, reader: Reader, *, by: Role = Role.DRIVER, **marketing: bool
) -> list[Channel]:
    named = {Channel(name): wanted for name, wanted in marketing.items()}
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.set_preference(
            conn,
            world.company_id,
            reader.member_id,
            by=by,
            marketing=named,
            service={},
            now=NOW,
        )
    return await wanted(world, reader)


async def news_go_to(world: World, news_id: UUID | None = None) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.queue_marketing(
            conn,
            world.company_id,
            news_id=news_id or uuid7(),
            headline="Скидка",
            message="Всё для шин.",
            now=NOW,
        )


async def test_a_consent_that_ran_out_holds_back_what_was_queued(
    world: World, reader: Reader
) -> None:
    notice_id = await prepared_news(world, reader)
    mailbox = Mailbox()

    async with smtp_server(mailbox) as server:  # the job that ends consents has not come yet
        sender = deliverer(world, server)
        await sender.deliver_due(world.company_id, NOW + VALID_FOR)

    assert mailbox.got == []
    assert (await happened(world, notice_id, Channel.EMAIL))[-1] == "withheld: not_consented"


# ---- messages on the phone


@asynccontextmanager
async def phone(world: World) -> AsyncGenerator[tuple[Adapter, Deliverer]]:
    adapter = Adapter()
    async with adapter_server(adapter) as url:
        yield adapter, deliverer(world, None, push=url)


async def test_the_phone_is_told_only_while_its_consent_is_given(
    world: World, reader: Reader
) -> None:
    async with phone(world) as (adapter, sender):
        never = await tell(world, reader.member_id)
        await sender.deliver(world.company_id, never, NOW)
        await agree(world, reader.member_id, "notifications")
        given = await tell(world, reader.member_id)
        await sender.deliver(world.company_id, given, NOW)
        await take_back(world, reader.member_id, "notifications")
        withdrawn = await tell(world, reader.member_id)
        await sender.deliver(world.company_id, withdrawn, NOW)

    assert [one["message_id"] for one in adapter.got] == [f"{given}.push"]
    for notice_id in (never, withdrawn):
        assert await happened(world, notice_id, Channel.PUSH) == [
            "queued",
            "withheld: not_consented",
        ]
        assert await happened(world, notice_id, Channel.IN_APP) == ["handed_over"]


async def test_staff_are_not_asked_before_their_phone_is_told(world: World) -> None:
    staff = await add_reader(world, role=Role.DISPATCHER, email=None, phone=None)

    async with phone(world) as (adapter, sender):
        await sender.deliver(world.company_id, await tell(world, staff.member_id), NOW)

    assert len(adapter.got) == 1


async def test_news_on_the_phone_need_both_consents(world: World, reader: Reader) -> None:
    await agree(world, reader.member_id, "marketing")

    async with phone(world) as (adapter, sender):
        one = await tell_news(world, reader.member_id)
        await sender.deliver(world.company_id, one, NOW)
        await agree(world, reader.member_id, "notifications")
        both = await tell_news(world, reader.member_id)
        await sender.deliver(world.company_id, both, NOW)

    assert [got["message_id"] for got in adapter.got] == [f"{both}.push"]


@pytest.mark.proves("relog-driver-manager-apps:4.2.3", "gocargo:how-we-use-2-notices")
async def test_service_notices_go_out_whatever_is_wanted(world: World, reader: Reader) -> None:
    await want(world, reader.member_id, email=False, sms=False, push=False)
    mailbox = Mailbox()

    async with smtp_server(mailbox) as server:
        notice_id = await tell(world, reader.member_id)
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert len(mailbox.got) == 1


# ---- an opt-out against a message that is being sent


async def prepared_news(world: World, reader: Reader) -> UUID:
    """Queue news that the reader wants; everything is done but the handing over."""
    await want(world, reader.member_id, email=True)
    notice_id = await tell_news(world, reader.member_id)
    waiting = Mailbox()
    async with smtp_server(waiting) as server:
        sender = deliverer(world, server)
        await sender._prepare(world.company_id, notice_id, NOW)  # noqa: SLF001 - the step before the race
    assert waiting.got == []
    assert await happened(world, notice_id, Channel.EMAIL) == ["queued"]
    return notice_id


@pytest.mark.proves(
    "relog-service:3.4", "gocargo:how-we-use-1-newsletters", "relog-driver-manager-apps:4.2.3"
)
async def test_an_opt_out_holds_for_what_was_queued_before_it(world: World, reader: Reader) -> None:
    notice_id = await prepared_news(world, reader)
    mailbox = Mailbox()

    await want(world, reader.member_id, email=False)
    async with smtp_server(mailbox) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert mailbox.got == []
    assert await happened(world, notice_id, Channel.EMAIL) == ["queued", "withheld: not_wanted"]


async def late_messages(world: World, reader: Reader) -> int:
    """Race opt-outs against the sender; return how many messages came after the answer."""
    late = 0
    for number in range(ROUNDS):
        notice_id = await prepared_news(world, reader)
        arrived: list[float] = []
        mailbox = Mailbox(
            rcpt_delay_s=0.03,
            on_data=lambda arrived=arrived: arrived.append(monotonic()),  # type: ignore[misc]  # bound now
        )
        async with smtp_server(mailbox) as server:
            sender = deliverer(world, server)

            async def opt_out(wait_s: float = number * 0.001) -> float:
                await asyncio.sleep(wait_s)
                await want(world, reader.member_id, email=False)
                return monotonic()

            answered, _ = await asyncio.gather(
                opt_out(), sender.deliver(world.company_id, notice_id, NOW)
            )
            # A sender that comes after: for example the run of the next minute.
            await sender.deliver_due(world.company_id, NOW)
        late += sum(at > answered for at in arrived)
    return late


@pytest.mark.proves("relog-service:3.4", "gocargo:how-we-use-1-newsletters")
async def test_no_marketing_arrives_after_the_opt_out_was_answered(
    world: World, reader: Reader
) -> None:
    assert await late_messages(world, reader) == 0


async def test_control_if_a_message_is_not_held_while_on_its_way_it_arrives_after_the_opt_out(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def held_by_nobody(*_: object) -> bool:
        return True

    monkeypatch.setattr(preference_store, "hold_on_its_way", held_by_nobody)

    assert await late_messages(world, reader) > 0


async def test_control_asking_before_the_message_is_held_is_not_enough(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice_id = await prepared_news(world, reader)
    mailbox = Mailbox()
    held = preference_store.hold_on_its_way

    async def asked_before(conn: db.Connection, company_id: UUID, member_id: UUID) -> bool:
        before = await preference_store.preferences(conn, company_id, member_id)

        async def as_it_was(*_: object) -> Mapping[Channel, tuple[bool, datetime]]:
            return before

        monkeypatch.setattr(preference_store, "preferences", as_it_was)
        await want(world, member_id, email=False)  # answered before anything is held
        return await held(conn, company_id, member_id)

    monkeypatch.setattr(preference_store, "hold_on_its_way", asked_before)
    async with smtp_server(mailbox) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert len(mailbox.got) == 1


async def test_an_opt_out_waits_for_the_message_that_is_on_its_way(
    world: World, reader: Reader
) -> None:
    notice_id = await prepared_news(world, reader)
    mailbox = Mailbox(delay_s=0.4)

    async with smtp_server(mailbox) as server:
        sending = asyncio.create_task(
            deliverer(world, server).deliver(world.company_id, notice_id, NOW)
        )
        await mailbox.until_on_its_way()
        began = monotonic()
        await want(world, reader.member_id, email=False)
        waited_s = monotonic() - began
        await sending

    assert waited_s > 0.2
    assert await happened(world, notice_id, Channel.EMAIL) == ["queued", "handed_over"]


async def test_no_message_is_begun_while_an_opt_out_waits(world: World, reader: Reader) -> None:
    first, *others = [await prepared_news(world, reader) for _ in range(4)]
    mailbox = Mailbox()
    mailbox.answering.clear()

    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        sending = asyncio.create_task(sender.deliver(world.company_id, first, NOW))
        await mailbox.until_on_its_way()
        opting_out = asyncio.create_task(want(world, reader.member_id, email=False))
        await until_somebody_waits(world)
        for one in others:
            await sender.deliver(world.company_id, one, NOW)
        began_meanwhile = [await happened(world, one, Channel.EMAIL) for one in others]
        assert not opting_out.done()
        mailbox.answering.set()
        await asyncio.gather(sending, opting_out)
        await sender.deliver_due(world.company_id, NOW)

    assert began_meanwhile == [["queued"]] * 3
    assert len(mailbox.got) == 1
    for one in others:
        assert (await happened(world, one, Channel.EMAIL))[-1] == "withheld: not_wanted"


async def until_somebody_waits(world: World) -> None:
    async with asyncio.timeout(5):
        while not await world.owner.fetchval(  # noqa: ASYNC110 - the database tells nobody
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.proves("relog-service:3.1")
async def test_news_are_queued_for_whoever_asked_and_once(world: World, reader: Reader) -> None:
    await add_reader(world, email="other@driver.example", phone="+77017654321")
    await want(world, reader.member_id, sms=True)
    news_id = reader.member_id

    assert await news_go_to(world, news_id) == 1
    assert await news_go_to(world, news_id) == 1
    rows = await world.owner.fetch("SELECT member_id FROM notice WHERE kind = 'marketing_news'")
    assert [row["member_id"] for row in rows] == [reader.member_id]
