import asyncio
from time import monotonic
from uuid import UUID

import pytest

from server.kit import db
from server.notices import service, store
from server.notices.kinds import MARKETING_CHANNELS, Channel
from tests.notices.mail import Mailbox, smtp_server
from tests.notices.stage import Reader, add_reader, deliverer, happened, tell, tell_news, want
from tests.world import NOW, World

ROUNDS = 25


@pytest.fixture
async def reader(world: World) -> Reader:
    return await add_reader(world)


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
    assert await happened(world, unasked, Channel.EMAIL) == ["withheld"]
    assert await happened(world, asked, Channel.EMAIL) == ["queued", "handed_over"]
    assert len(mailbox.got) == 1


@pytest.mark.proves("kargo.az:choice-subscriptions")
async def test_an_opt_out_on_one_channel_leaves_the_others(world: World, reader: Reader) -> None:
    await want(world, reader.member_id, email=True, sms=True)
    await want(world, reader.member_id, sms=False)

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await service.preference(conn, world.company_id, reader.member_id)

    assert found.wanted == {Channel.EMAIL: True, Channel.SMS: False, Channel.PUSH: False}


async def test_withdrawing_the_consent_opts_out_everywhere(world: World, reader: Reader) -> None:
    await want(world, reader.member_id, email=True, sms=True, push=True)

    async with db.tenant(world.pool, world.company_id) as conn:
        await service.stop_marketing(conn, world.company_id, reader.member_id, now=NOW)
        found = await service.preference(conn, world.company_id, reader.member_id)

    assert not any(found.wanted.values())


@pytest.mark.proves("relog-driver-manager-apps:4.2.3", "gocargo:how-we-use-2-notices")
async def test_service_notices_go_out_whatever_is_wanted(world: World, reader: Reader) -> None:
    await want(world, reader.member_id, email=False, sms=False, push=False)
    mailbox = Mailbox()

    async with smtp_server(mailbox) as server:
        notice_id = await tell(world, reader.member_id)
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert len(mailbox.got) == 1


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
        mailbox = Mailbox(on_data=lambda arrived=arrived: arrived.append(monotonic()))  # type: ignore[misc]  # bound now
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


async def test_control_without_reading_again_marketing_arrives_after_the_opt_out(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def as_it_was_when_queued(*_: object) -> bool:
        return True

    monkeypatch.setattr(store, "lock_marketing", as_it_was_when_queued)

    assert await late_messages(world, reader) > 0


async def test_control_reading_again_without_a_lock_is_not_enough(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice_id = await prepared_news(world, reader)
    mailbox = Mailbox()

    async def only_read(conn: db.Connection, company: UUID, who: UUID, where: Channel) -> bool:
        wanted = (await store.preferences(conn, company, who))[where][0]
        await want(world, who, email=False)  # under the lock it would wait until all was over
        return wanted

    monkeypatch.setattr(store, "lock_marketing", only_read)
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


async def test_an_opt_out_waits_for_one_message_at_most(world: World, reader: Reader) -> None:
    first, *others = [await prepared_news(world, reader) for _ in range(4)]
    mailbox = Mailbox(delay_s=0.4)

    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        sending = asyncio.create_task(sender.deliver(world.company_id, first, NOW))
        await mailbox.until_on_its_way()
        more = [asyncio.create_task(sender.deliver(world.company_id, one, NOW)) for one in others]
        await want(world, reader.member_id, email=False)
        await asyncio.gather(sending, *more)
        await sender.deliver_due(world.company_id, NOW)

    # Had the others stood in front of the opt-out, they would have gone first.
    assert len(mailbox.got) == 1
    for one in others:
        assert (await happened(world, one, Channel.EMAIL))[-1] == "withheld: not_wanted"


@pytest.mark.proves("relog-service:3.1")
async def test_news_are_queued_for_whoever_asked_and_once(world: World, reader: Reader) -> None:
    await add_reader(world, email="other@driver.example", phone="+77017654321")
    await want(world, reader.member_id, sms=True)
    news_id = reader.member_id

    async def queue() -> int:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await service.queue_marketing(
                conn,
                world.company_id,
                news_id=news_id,
                headline="Скидка",
                message="Всё для шин.",
                now=NOW,
            )

    assert await queue() == 1
    assert await queue() == 1
    rows = await world.owner.fetch("SELECT member_id FROM notice")
    assert [row["member_id"] for row in rows] == [reader.member_id]
