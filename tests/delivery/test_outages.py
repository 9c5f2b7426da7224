"""Ways out that fail, and keys that are gone for a while."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from server.delivery.model import ATTEMPTS_MAX, BACK_OFF
from server.delivery.ports import Port, SmtpServer
from server.notice_kinds.kinds import Channel
from tests.delivery.mail import SENDER, Mailbox, smtp_server
from tests.delivery.stage import deliverer, deliverer_over, events, happened
from tests.delivery.test_ports import free_port
from tests.notices.stage import EMAIL, add_reader, tell
from tests.world import NOW, World


def out_of_order() -> SmtpServer:
    """Return a mail server that is not there."""
    return SmtpServer(
        host="127.0.0.1", port=free_port(), sender=SENDER, implicit_tls=False, plain=True
    )


async def test_a_message_is_tried_again_later_and_later_then_is_a_dead_letter(
    world: World,
) -> None:
    reader = await add_reader(world)
    mailbox = Mailbox(rcpt="451 greylisted")
    notice_id = await tell(world, reader.member_id)
    now = NOW

    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        await sender.deliver(world.company_id, notice_id, now)
        for pause in BACK_OFF:
            before = len(await events(world, notice_id))
            await sender.deliver_due(world.company_id, now + pause - timedelta(seconds=1))
            assert len(await events(world, notice_id)) == before
            now += pause
            await sender.deliver_due(world.company_id, now)
            assert len(await events(world, notice_id)) == before + 1
        await sender.deliver_due(world.company_id, now + timedelta(days=365))

    tried = await happened(world, notice_id, Channel.EMAIL)
    assert tried == [
        "queued",
        *["attempt_failed: deferred"] * (ATTEMPTS_MAX - 1),
        "failed: deferred",
    ]


async def test_what_is_refused_for_good_is_a_dead_letter_at_once(world: World) -> None:
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)

    async with smtp_server(Mailbox(rcpt="550 unknown")) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert await happened(world, notice_id, Channel.EMAIL) == ["queued", "failed: refused"]


async def test_a_server_that_comes_back_gets_what_waited(world: World) -> None:
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)
    mailbox = Mailbox(data=None)

    async with smtp_server(mailbox) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)
        mailbox.data = "250 OK"
        await deliverer(world, server).deliver_due(world.company_id, NOW + BACK_OFF[0])

    assert await happened(world, notice_id, Channel.EMAIL) == [
        "queued",
        "attempt_failed: unreachable",
        "handed_over",
    ]
    ids = {mail["Message-ID"] for mail in mailbox.messages()}
    assert len(mailbox.got) == 2
    assert len(ids) == 1


async def test_an_outage_uses_up_the_attempt_of_one_message_not_of_all(world: World) -> None:
    reader = await add_reader(world)
    notice_ids = [await tell(world, reader.member_id) for _ in range(4)]
    nobody = out_of_order()

    await deliverer(world, nobody).deliver_due(world.company_id, NOW)

    tried = [await happened(world, one, Channel.EMAIL) for one in notice_ids]
    assert sorted(len(one) for one in tried) == [1, 1, 1, 2]


async def test_a_way_out_that_was_taken_away_ends_the_delivery(world: World) -> None:
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)
    nobody = out_of_order()
    await deliverer(world, nobody).deliver(world.company_id, notice_id, NOW)

    await deliverer(world, None).deliver_due(world.company_id, NOW + BACK_OFF[0])

    assert (await happened(world, notice_id, Channel.EMAIL))[-1] == "failed: not_configured"


class Broken:
    """A way out with a fault of its own."""

    async def hand_over(self, _message: object, _now: datetime) -> None:
        raise RuntimeError(EMAIL)


async def test_a_fault_of_our_own_is_counted_and_not_tried_for_ever(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)
    ports: Mapping[Channel, Port] = {Channel.EMAIL: Broken()}

    await deliverer_over(world, ports).deliver(world.company_id, notice_id, NOW)

    assert (await happened(world, notice_id, Channel.EMAIL))[-1] == "attempt_failed: broken"
    assert EMAIL not in "".join(capfd.readouterr())


async def test_a_notice_is_queued_without_the_keys_and_written_once_they_are_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await add_reader(world)
    mailbox = Mailbox()

    async def keys_are_down(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        with monkeypatch.context() as down:
            for name in ("key", "keys"):
                down.setattr(type(world.vault), name, keys_are_down)
            notice_id = await tell(world, reader.member_id)
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await sender.deliver(world.company_id, notice_id, NOW)
        await sender.deliver_due(world.company_id, NOW)

    assert len(mailbox.got) == 1
    assert await happened(world, notice_id, Channel.EMAIL) == ["queued", "handed_over"]


async def test_keys_that_go_down_between_do_not_use_up_attempts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)
    async with smtp_server(Mailbox(rcpt="451 later")) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    async def keys_are_down(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    mailbox = Mailbox()
    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        with monkeypatch.context() as down:
            down.setattr(type(world.vault), "keys", keys_are_down)
            with pytest.raises(ConnectionRefusedError):
                await sender.deliver_due(world.company_id, NOW + BACK_OFF[0])
        await sender.deliver_due(world.company_id, NOW + BACK_OFF[0])

    assert await happened(world, notice_id, Channel.EMAIL) == [
        "queued",
        "attempt_failed: deferred",
        "handed_over",
    ]
