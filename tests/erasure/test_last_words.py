"""Without a grace too the driver is told that they are being erased, before the notice goes."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.credentials.model import Role
from server.delivery.ports import SmtpServer
from server.erasure import saga, service
from server.erasure.model import Request, State, Step
from server.erasure.saga import TOLD_WITHIN
from server.gate import service as gate
from server.kit import db
from server.ledger.model import Actor, ActorKind
from tests.delivery.mail import SENDER, Mailbox, smtp_server
from tests.delivery.stage import deliverer
from tests.delivery.test_ports import free_port
from tests.notices.stage import EMAIL, Reader, add_reader, tell, tell_news, want
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(world: World) -> World:
    """A company that gives no grace."""
    await world.owner.execute("UPDATE company SET erasure_grace_s = 0")
    return world


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def mail(mailbox: Mailbox) -> AsyncIterator[SmtpServer]:
    async with smtp_server(mailbox) as server:
        yield server


def out_of_order() -> SmtpServer:
    return SmtpServer(
        host="127.0.0.1", port=free_port(), sender=SENDER, implicit_tls=False, plain=True
    )


async def ask(world: World, reader: Reader) -> Request:
    """Let the staff delete the driver: it is due at once."""
    by = Actor(kind=ActorKind.DISPATCHER)
    async with gate.stopping(world.pool, world.company_id, reader.member_id, now=NOW) as conn:
        return await service.ask(
            conn, world.company_id, reader.member_id, by=by, reason=None, now=NOW
        )


async def erase(world: World, server: SmtpServer | None, *, after: timedelta = MINUTE) -> int:
    sender = deliverer(world, server)
    return await saga.run_due(
        world.pool, world.vault, world.company_id, NOW + after, tell=sender.deliver_to
    )


async def state(world: World, request: Request) -> tuple[State, set[Step]]:
    async with db.tenant(world.pool, world.company_id) as conn:
        locked = await service.lock(conn, world.company_id, request.request_id)
        done = await service.steps(conn, world.company_id, [request.request_id])
    return locked.state, {one.step for one in done[request.request_id]}


async def notices_of(world: World, reader: Reader) -> int:
    count: int = await world.owner.fetchval(
        "SELECT count(*) FROM notice WHERE member_id = $1", reader.member_id
    )
    return count


def subjects(mailbox: Mailbox) -> list[str]:
    return [str(one["Subject"]) for one in mailbox.messages()]


async def test_the_driver_is_told_before_the_notice_is_erased(
    world: World, mailbox: Mailbox, mail: SmtpServer
) -> None:
    reader = await add_reader(world)
    request = await ask(world, reader)

    assert await erase(world, mail) == 1

    assert [envelope.rcpt_tos for envelope in mailbox.got] == [[EMAIL]] * len(mailbox.got)
    assert "Запрос на удаление ваших данных" in subjects(mailbox)
    assert (await state(world, request))[0] is State.ERASED
    assert await notices_of(world, reader) == 0


async def test_control_an_erasure_that_tells_nobody_takes_the_notice_along(
    world: World, mailbox: Mailbox, mail: SmtpServer
) -> None:
    reader = await add_reader(world)
    await ask(world, reader)

    assert await saga.run_due(world.pool, world.vault, world.company_id, NOW) == 1

    # Whatever the sender does now: there is nothing to be sent any more.
    await deliverer(world, mail).deliver_due(world.company_id, NOW + MINUTE)
    assert mailbox.got == []
    assert await notices_of(world, reader) == 0


async def test_while_the_mail_server_is_down_all_else_is_erased_and_the_notice_waits(
    world: World, mailbox: Mailbox, mail: SmtpServer
) -> None:
    reader = await add_reader(world)
    request = await ask(world, reader)

    assert await erase(world, out_of_order()) == 0

    found, done = await state(world, request)
    assert found is State.ERASING
    assert Step.ERASE_TRACKING in done
    assert Step.ERASE_NOTICES not in done
    assert await erase(world, mail, after=3 * MINUTE) == 1
    assert "Запрос на удаление ваших данных" in subjects(mailbox)


async def test_an_erasure_waits_an_hour_for_the_mail_server_and_no_longer(world: World) -> None:
    reader = await add_reader(world)
    request = await ask(world, reader)

    assert await erase(world, out_of_order(), after=TOLD_WITHIN - MINUTE) == 0
    assert await erase(world, out_of_order(), after=TOLD_WITHIN) == 1

    assert (await state(world, request))[0] is State.ERASED
    assert await notices_of(world, reader) == 0


@pytest.mark.parametrize("email", [EMAIL, None])
async def test_who_cannot_be_reached_is_not_waited_for(world: World, email: str | None) -> None:
    server = None if email is not None else out_of_order()
    reader = await add_reader(world, email=email)
    await ask(world, reader)

    assert await erase(world, server) == 1


async def test_marketing_is_not_waited_for_and_the_others_are_not_sent_by_it(
    world: World, mailbox: Mailbox, mail: SmtpServer
) -> None:
    reader = await add_reader(world)
    other = await add_reader(world, role=Role.DRIVER, email="other@driver.example", phone=None)
    await want(world, reader.member_id, email=True)
    await tell_news(world, reader.member_id)
    await tell(world, other.member_id)
    mailbox.rcpt = "451 later"
    await deliverer(world, mail).deliver_due(world.company_id, NOW)
    mailbox.rcpt = "250 OK"
    await ask(world, reader)

    # The news waits for its next attempt and does not count; the others' mail is not ours to send.
    assert await erase(world, mail, after=timedelta(seconds=30)) == 1

    assert {address for one in mailbox.got for address in one.rcpt_tos} == {EMAIL}
