import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from asyncpg import IntegrityConstraintViolationError

from server.credentials.model import Role
from server.delivery import service as delivery
from server.kit import db
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import preparing, service, store
from server.notices.model import NoticeText
from server.vault import shared
from server.vault.service import Vault
from tests.delivery.mail import Mailbox, smtp_server
from tests.delivery.stage import deliverer
from tests.notices.stage import NAME, Reader, add_reader, tell, want
from tests.world import NOW, World

TABLES = ("notice", "notice_person", "notice_delivery", "notice_event", "notice_preference")


async def dispute(world: World, reader: Reader, driver: Reader) -> UUID:
    return await tell(
        world,
        reader.member_id,
        NoticeKind.ATTESTATION_DISPUTED,
        driver=str(driver.member_id),
        disputed_at=NOW.isoformat(),
    )


async def erase(world: World, member_id: UUID) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.erase(conn, world.company_id, member_id)


async def rows_naming(world: World, member_id: UUID) -> dict[str, int]:
    return {
        table: await world.owner.fetchval(
            f"SELECT count(*) FROM {table} WHERE member_id = $1",  # noqa: S608 - names of ours
            member_id,
        )
        for table in TABLES
    }


async def test_erasing_takes_what_was_told_to_a_member_and_what_names_them(world: World) -> None:
    driver = await add_reader(world)
    main_user = await add_reader(
        world, role=Role.MAIN_USER, name="Main", email="main@company.example", phone=None
    )
    await want(world, driver.member_id, sms=True)
    mailbox = Mailbox()
    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        await tell(world, driver.member_id)
        naming = await dispute(world, main_user, driver)
        kept = await tell(world, main_user.member_id)
        await sender.deliver_due(world.company_id, NOW)
    assert any(NAME in mail.get_content() for mail in mailbox.messages())

    rows = await erase(world, driver.member_id)

    # Two notices, each in the app and by e-mail; who is named; the preferences.
    assert rows == 2 + 4 + 6 + 1 + 3
    assert sum((await rows_naming(world, driver.member_id)).values()) == 0
    left = await world.owner.fetch("SELECT notice_id FROM notice")
    assert [row["notice_id"] for row in left] == [kept]
    assert naming != kept
    assert await erase(world, driver.member_id) == 0


async def read_from_an_old_copy(world: World) -> list[NoticeText | None]:
    """Erase a driver; open a notice about them, kept from before, with the keys of today."""
    driver = await add_reader(world)
    main_user = await add_reader(
        world, role=Role.MAIN_USER, name="Main", email="main@company.example", phone=None
    )
    notice_id = await dispute(world, main_user, driver)
    await deliverer(world, None).deliver_due(world.company_id, NOW)
    async with db.tenant(world.pool, world.company_id) as conn:
        kept = await store.hold_notice(conn, world.company_id, main_user.member_id, notice_id)
    assert kept is not None
    (text,) = await preparing.opened(world.vault, world.company_id, [kept])
    assert text is not None
    assert NAME in text.body

    await world.vault.destroy(world.company_id, driver.member_id, NOW)

    return await preparing.opened(world.vault, world.company_id, [kept])


async def test_an_old_copy_of_a_notice_does_not_tell_whom_it_named(world: World) -> None:
    assert await read_from_an_old_copy(world) == [None]


async def test_control_sealed_for_its_reader_alone_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = shared.seal

    async def for_its_reader_alone(
        vault: Vault, company_id: UUID, subject_ids: Sequence[UUID], *rest: Any, **bound: Any
    ) -> bytes:
        return await seal(vault, company_id, subject_ids[:1], *rest, **bound)

    monkeypatch.setattr(shared, "seal", for_its_reader_alone)

    (text,) = await read_from_an_old_copy(world)

    assert text is not None
    assert NAME in text.body


async def left_after_erasing_while_a_message_is_on_its_way(world: World) -> int:
    """Erase the reader of a message that is being handed over; return how many rows are left."""
    driver = await add_reader(world)
    notice_id = await tell(world, driver.member_id)
    mailbox = Mailbox(delay_s=0.2)
    async with smtp_server(mailbox) as server:
        sending = asyncio.create_task(
            deliverer(world, server).deliver(world.company_id, notice_id, NOW)
        )
        await mailbox.until_on_its_way()
        with suppress(IntegrityConstraintViolationError):
            await erase(world, driver.member_id)
        await sending
    return sum((await rows_naming(world, driver.member_id)).values())


async def test_erasing_waits_for_the_message_that_is_on_its_way(world: World) -> None:
    assert await left_after_erasing_while_a_message_is_on_its_way(world) == 0


async def test_control_erasing_that_does_not_lock_misses_what_is_written_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def only_read(conn: db.Connection, company_id: UUID, member_id: UUID) -> list[UUID]:
        found = await store.every_notice(conn, company_id, member_id)
        return [one.notice_id for one in found]

    monkeypatch.setattr(store, "lock_notices_of_person", only_read)

    assert await left_after_erasing_while_a_message_is_on_its_way(world) > 0


async def test_erasing_while_notices_are_sent_and_seen_ends(world: World) -> None:
    driver = await add_reader(world)

    async def see(notice_id: UUID) -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await service.mark_seen(
                conn, world.company_id, driver.member_id, notice_id, by=Role.DRIVER, now=NOW
            )

    for _ in range(10):
        notice_ids = [await tell(world, driver.member_id) for _ in range(3)]
        async with smtp_server(Mailbox()) as server:
            sender = deliverer(world, server)
            ended = await asyncio.gather(
                *(sender.deliver(world.company_id, one, NOW) for one in notice_ids),
                *(see(one) for one in notice_ids),
                erase(world, driver.member_id),
                return_exceptions=True,
            )
        assert {type(one).__name__ for one in ended} <= {"NoneType", "int", "NoticeMissing"}
        await erase(world, driver.member_id)
        assert sum((await rows_naming(world, driver.member_id)).values()) == 0


async def test_an_export_holds_notices_as_they_were_shown(world: World) -> None:
    driver = await add_reader(world)
    await want(world, driver.member_id, push=True)
    shown = await tell(world, driver.member_id)
    async with smtp_server(Mailbox()) as server:
        sender = deliverer(world, server)
        await sender.deliver_due(world.company_id, NOW)
    not_written_yet = await tell(world, driver.member_id)

    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await service.export(conn, world.vault, world.company_id, driver.member_id, now=NOW)
        events = await delivery.export(conn, world.company_id, driver.member_id)

    assert [one.notice.notice_id for one in found.notices] == [shown, not_written_yet]
    texts = [one.text for one in found.notices]
    assert texts[0] is not None
    assert texts[0].language == "ru"
    assert texts[1] is None
    assert [one.channel for one in events[shown]] == [
        Channel.EMAIL,
        Channel.EMAIL,
        Channel.IN_APP,
    ]
    assert found.preference.wanted[Channel.PUSH]
