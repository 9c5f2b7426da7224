import asyncio
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import pytest

from server.accounts.model import Locale
from server.credentials.model import Role
from server.delivery import service, store
from server.delivery.ports import SmtpServer
from server.kit import db, jobs
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.jobs import Jobs, Payload
from server.ledger import service as ledger
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import preparing
from server.notices import service as notices
from server.notices.model import Delivery, DeliveryState
from server.vault.model import key_id_of
from tests.conftest import Databases
from tests.delivery.mail import SENDER, Mailbox, smtp_server
from tests.delivery.stage import deliverer, events, happened
from tests.notices.stage import EMAIL, NAME, PHONE, add_reader, tell
from tests.world import NOW, World, add_company, add_member

OUT_OF_ORDER = SmtpServer(host="127.0.0.1", port=1, sender=SENDER, implicit_tls=False, plain=True)


async def test_a_notice_is_in_the_app_at_once_and_goes_out_with_evidence(world: World) -> None:
    reader = await add_reader(world)
    mailbox = Mailbox()

    notice_id = await tell(world, reader.member_id)
    at_once = await happened(world, notice_id, Channel.IN_APP)
    async with smtp_server(mailbox) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert at_once == ["handed_over"]
    assert await happened(world, notice_id, Channel.EMAIL) == ["queued", "handed_over"]
    (mail,) = mailbox.messages()
    assert mail["To"] == EMAIL
    assert mail["Message-ID"] == f"<{notice_id}.email@jolda.example>"
    assert "Добавлено новое устройство" in mail["Subject"]
    async with db.tenant(world.pool, world.company_id) as conn:
        written = await ledger.entries_about(conn, world.company_id, reader.member_id, limit=10)
    assert [(one.act, one.facts) for one in written] == [
        ("notice_sent", '{"channel":"in_app","kind":"device_added"}'),
        ("notice_sent", '{"channel":"email","kind":"device_added"}'),
    ]


async def test_a_reader_is_told_in_their_language_in_the_companys_time(world: World) -> None:
    reader = await add_reader(world, locale=Locale.KK)
    mailbox = Mailbox()
    notice_id = await tell(world, reader.member_id)

    async with smtp_server(mailbox) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    (mail,) = mailbox.messages()
    assert mail["Content-Language"] == "kk"
    assert "2026 жылғы 22 қараша, 17:00 (UTC+5)" in mail.get_content()


async def test_who_has_no_address_is_told_in_the_app_alone(world: World) -> None:
    reader = await add_reader(world, email=None)
    notice_id = await tell(world, reader.member_id)

    async with smtp_server(Mailbox()) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert {one.channel for one in await events(world, notice_id)} == {Channel.IN_APP}


async def test_no_name_address_or_text_is_readable_in_the_database_or_the_log(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    reader = await add_reader(world, name="Main User")
    driver = await add_reader(world, email=None, phone="+77017654321")
    notice_id = await tell(
        world,
        reader.member_id,
        NoticeKind.ATTESTATION_DISPUTED,
        driver=str(driver.member_id),
        disputed_at=NOW.isoformat(),
    )
    mailbox = Mailbox(data="452 full")

    async with smtp_server(mailbox) as server:
        await deliverer(world, server).deliver(world.company_id, notice_id, NOW)

    assert NAME in mailbox.messages()[0].get_content()
    row = await world.owner.fetchrow("SELECT facts, text_sealed FROM notice")
    assert row is not None
    key = (await world.vault.keys(world.company_id, [key_id_of(row["text_sealed"])])).popitem()[1]
    assert (row["facts"], key.subject_id, key.category) == ("{}", reader.member_id, "contact")
    stored = await everything(world)
    printed = "".join(capfd.readouterr())
    assert "notice_undelivered" in printed
    for secret in (NAME, EMAIL, PHONE, "Водитель", SENDER):
        assert secret not in stored
        assert secret not in printed


async def everything(world: World) -> str:
    tables = ("notice", "notice_person", "notice_delivery", "notice_event", "jobs.pgqueuer")
    rows = [row for table in tables for row in await world.owner.fetch(f"SELECT * FROM {table}")]  # noqa: S608 - names of ours
    return repr([[_readable(value) for value in row.values()] for row in rows])


def _readable(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


# ---- once, at least


async def handed_over_by_many(world: World) -> int:
    """Let several senders at one message; return how often it arrived."""
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)
    mailbox = Mailbox(delay_s=0.05)
    async with smtp_server(mailbox) as server:
        one, other = deliverer(world, server), deliverer(world, server)
        await one._prepare(world.company_id, notice_id, NOW)  # noqa: SLF001 - the step before the race
        await asyncio.gather(
            *(
                sender.deliver(world.company_id, notice_id, NOW)
                for sender in (one, other)
                for _ in range(2)
            ),
            return_exceptions=True,
        )
    return len(mailbox.got)


async def test_several_senders_hand_one_message_over_once(world: World) -> None:
    assert await handed_over_by_many(world) == 1


async def test_control_senders_that_do_not_lock_hand_it_over_several_times(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def only_read(
        conn: Connection, company_id: UUID, notice_id: UUID, channel: Channel, _now: datetime
    ) -> Delivery | None:
        found = await store.deliveries(
            conn, company_id, member_id=None, kind=None, state=None, but=(), before=None, limit=9
        )
        return next(one for one in found if (one.notice_id, one.channel) == (notice_id, channel))

    monkeypatch.setattr(store, "lock_due", only_read)

    assert await handed_over_by_many(world) > 1


async def test_a_crash_after_handing_over_sends_again_under_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await add_reader(world)
    notice_id = await tell(world, reader.member_id)
    mailbox = Mailbox()

    async def crash(*_: object, **__: object) -> None:
        raise SystemError

    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        with monkeypatch.context() as crashing, suppress(SystemError):
            crashing.setattr(preparing, "record", crash)
            await sender.deliver(world.company_id, notice_id, NOW)
        assert await happened(world, notice_id, Channel.EMAIL) == ["queued"]
        await sender.deliver_due(world.company_id, NOW)

    first, second = mailbox.messages()
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert await happened(world, notice_id, Channel.EMAIL) == ["queued", "handed_over"]


async def test_the_job_delivers_what_was_queued(world: World, databases: Databases) -> None:
    reader = await add_reader(world)
    mailbox = Mailbox()
    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)

        async def deliver(payload: Payload) -> None:
            await sender.deliver(UUID(payload["company_id"]), UUID(payload["notice_id"]), NOW)

        work = Jobs(queued={notices.DELIVER_NOTICE: deliver}, every_minute={})
        async with jobs.running(databases.main, work):
            await tell(world, reader.member_id)
            async with asyncio.timeout(10):
                while not mailbox.got:  # noqa: ASYNC110 - the mail server tells nobody
                    await asyncio.sleep(0.02)

    assert len(mailbox.got) == 1


# ---- whose it is


async def test_a_notice_to_somebody_who_is_gone_goes_too(world: World) -> None:
    await tell(world, uuid7())

    await deliverer(world, OUT_OF_ORDER).deliver_due(world.company_id, NOW)

    assert await world.owner.fetchval("SELECT count(*) FROM notice") == 0
    assert await world.owner.fetchval("SELECT count(*) FROM notice_event") == 0


async def test_no_company_sees_or_sends_what_is_anothers(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    member_id = await add_member(world.vault, world.pool, other, role="driver")
    async with db.tenant(world.pool, other) as conn:
        notice_id = await notices.queue(
            conn,
            other,
            member_id,
            NoticeKind.DEVICE_ADDED,
            {"added_at": NOW.isoformat()},
            now=NOW,
        )

    await deliverer(world, OUT_OF_ORDER).deliver(world.company_id, notice_id, NOW)

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        assert await store.events(conn, world.company_id, notice_id, but=()) == []
        # also where the statement itself names the other company
        assert await store.events(conn, other, notice_id, but=()) == []
        found, _ = await service.deliveries(
            conn,
            world.company_id,
            member_id=None,
            kind=None,
            state=DeliveryState.HANDED_OVER,
            role=Role.MAIN_USER,
            cursor=None,
            limit=10,
        )
    assert found == []
