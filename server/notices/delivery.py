"""The sender: writes and seals what was queued, then hands it over, channel by channel.

At least once: a message may go twice if a crash falls between handing over and recording it, and
then has the same id.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.accounts.model import Profile
from server.credentials.model import MemberMissing
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act
from server.notices import delivery_store, sealing, service, store
from server.notices.kinds import KINDS, Category, Channel
from server.notices.model import (
    TRANSITIONS,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Event,
    Message,
    Notice,
    Reason,
    Undelivered,
    after_failure,
)
from server.notices.ports import Port
from server.vault.model import SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

SENDING_MAX: Final = 4
"""Messages on their way at the same time; each holds a connection of the pool."""
BATCH_MAX: Final = 200
RUN_S_MAX: Final = 45.0
"""After so long a run leaves the rest to the next, a minute later."""
OUT_OF_ORDER: Final = frozenset({Reason.UNREACHABLE, Reason.TOO_SLOW, Reason.NOT_ACCEPTED_HERE})
"""The port itself is out of order: trying the next message now would fail the same way."""


class Deliverer:
    """Delivers for one process, over the ways out that are set up."""

    def __init__(self, pool: Pool, vault: Vault, ports: Mapping[Channel, Port]) -> None:
        self._pool = pool
        self._vault = vault
        self._ports = ports
        self._sending = asyncio.Semaphore(SENDING_MAX)

    async def deliver(self, company_id: UUID, notice_id: UUID, now: datetime) -> None:
        """Prepare one notice and try what of it is due: the job's work."""
        await self._prepare(company_id, notice_id, now)
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            due = await delivery_store.due(
                conn, company_id, now, notice_id=notice_id, limit=len(Channel)
            )
        for _, channel in due:
            await self._attempt(company_id, notice_id, channel, now)

    async def deliver_due(self, company_id: UUID, now: datetime) -> None:
        """Prepare and try whatever is due: the work of every minute.

        A port that is out of order is tried once, so that an outage uses up the attempts of as few
        messages as it can.
        """
        ends = time.monotonic() + RUN_S_MAX
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            unprepared = await store.unprepared(conn, company_id, limit=BATCH_MAX)
        for notice_id in unprepared:
            await self._prepare_apart(company_id, notice_id, now)
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            due = await delivery_store.due(conn, company_id, now, limit=BATCH_MAX)
        out_of_order: set[Channel] = set()
        for notice_id, channel in due:
            if channel in out_of_order or time.monotonic() > ends:
                continue
            if await self._attempt(company_id, notice_id, channel, now) in OUT_OF_ORDER:
                out_of_order.add(channel)

    async def _prepare_apart(self, company_id: UUID, notice_id: UUID, now: datetime) -> None:
        try:
            await self._prepare(company_id, notice_id, now)
        except Exception as error:
            if db.is_outage(error):
                raise
            # One that cannot be written must not hold up the others.
            log.error("notice_unwritten", company=str(company_id), **where(error))  # noqa: TRY400

    async def _prepare(self, company_id: UUID, notice_id: UUID, now: datetime) -> None:
        """Write and seal the text, and begin the deliveries beside the one in the app."""
        async with db.tenant(self._pool, company_id) as conn:
            notice = await store.lock_unprepared(conn, company_id, notice_id)
            if notice is None:
                return
            try:
                await self._write(conn, company_id, notice, now)
            except (MemberMissing, SubjectErased):
                await store.delete_notices(conn, company_id, [notice_id])

    async def _write(
        self, conn: Connection, company_id: UUID, notice: Notice, now: datetime
    ) -> None:
        reader = await accounts.profile(conn, self._vault, company_id, notice.member_id)
        text = await service.text_of(conn, self._vault, company_id, notice, reader)
        sealed = await sealing.seal(self._vault, company_id, notice, text, now=now)
        await store.set_text(conn, company_id, notice.notice_id, text, sealed, now)
        kind = KINDS[notice.kind]
        wanted = (await service.preference(conn, company_id, notice.member_id)).wanted
        for channel in kind.channels:
            if channel not in self._ports or _address(reader, channel) is None:
                continue
            withheld = kind.category is Category.MARKETING and not wanted[channel]
            state = DeliveryState.WITHHELD if withheld else DeliveryState.QUEUED
            await service.add_delivery(conn, company_id, notice, channel, state, now=now)
        if Channel.IN_APP in kind.channels:
            await _write_down(conn, company_id, notice, Channel.IN_APP, now)

    async def _attempt(
        self, company_id: UUID, notice_id: UUID, channel: Channel, now: datetime
    ) -> Reason | None:
        """Hand one message over; return why that failed, None if it did not or was not due."""
        try:
            async with self._sending, db.tenant(self._pool, company_id) as conn:
                return await self._attempt_held(conn, company_id, notice_id, channel, now)
        except db.LockTimeout:
            return None  # the preference is changing just now: still due in a minute

    async def _attempt_held(
        self,
        conn: Connection,
        company_id: UUID,
        notice_id: UUID,
        channel: Channel,
        now: datetime,
    ) -> Reason | None:
        """Attempt it in the transaction that holds what allows it."""
        delivery = await delivery_store.lock_due(conn, company_id, notice_id, channel, now)
        if delivery is None:
            return None
        # Locked from here until the message is out: an opt-out that was acknowledged before
        # is seen, one that comes now waits and holds for the next message.
        if KINDS[delivery.kind].category is Category.MARKETING and not await store.lock_marketing(
            conn, company_id, delivery.member_id, channel
        ):
            await _record(conn, company_id, delivery, Event.WITHHELD, Reason.NOT_WANTED, now)
            return Reason.NOT_WANTED
        try:
            await self._hand_over(conn, company_id, delivery, now)
        except Undelivered as failed:
            await _record_failure(conn, company_id, delivery, failed, now)
            return failed.reason
        await _record(conn, company_id, delivery, Event.HANDED_OVER, None, now)
        return None

    async def _hand_over(
        self, conn: Connection, company_id: UUID, delivery: Delivery, now: datetime
    ) -> None:
        port = self._ports.get(delivery.channel)
        if port is None:
            raise Undelivered(Reason.NOT_CONFIGURED)
        message = await self._message(conn, company_id, delivery)
        try:
            await port.hand_over(message, now)
        except Undelivered:
            raise
        except Exception as error:  # noqa: BLE001 - counted and tried again, not for ever
            log.error("notice_unsendable", company=str(company_id), **where(error))  # noqa: TRY400
            raise Undelivered(Reason.BROKEN) from None

    async def _message(self, conn: Connection, company_id: UUID, delivery: Delivery) -> Message:
        """Return what goes out, to the address of now.

        Raises
        ------
        Undelivered
        """
        notice = await store.hold_notice(conn, company_id, delivery.member_id, delivery.notice_id)
        try:
            reader = await accounts.profile(conn, self._vault, company_id, delivery.member_id)
        except MemberMissing:
            raise Undelivered(Reason.NO_ADDRESS) from None
        address = _address(reader, delivery.channel)
        text = None
        if notice is not None:
            (text,) = await sealing.opened(self._vault, company_id, [notice])
        if address is None or text is None:
            raise Undelivered(Reason.NO_ADDRESS)
        company = await accounts.company(conn, company_id)
        return Message(
            message_id=f"{delivery.notice_id}.{delivery.channel.value}",
            channel=delivery.channel,
            to=address,
            category=KINDS[delivery.kind].category,
            company=company.name,
            text=text,
            queued_at=delivery.queued_at,
        )


def _address(reader: Profile, channel: Channel) -> str | None:
    match channel:
        case Channel.IN_APP:
            return None
        case Channel.EMAIL:
            return reader.email
        case Channel.SMS:
            return reader.phone
        case Channel.PUSH:
            return str(reader.member_id)


async def _record_failure(
    conn: Connection, company_id: UUID, delivery: Delivery, failed: Undelivered, now: datetime
) -> None:
    event, again_at = after_failure(delivery, failed.reason, wait=failed.wait, now=now)
    await _record(conn, company_id, delivery, event, failed.reason, now, again_at=again_at)
    log.warning(
        "notice_undelivered",
        company=str(company_id),
        error=failed.reason.value,
        attempt=delivery.attempts + 1,
    )


async def _record(
    conn: Connection,
    company_id: UUID,
    delivery: Delivery,
    event: Event,
    reason: Reason | None,
    now: datetime,
    *,
    again_at: datetime | None = None,
) -> None:
    await delivery_store.move(
        conn,
        company_id,
        delivery.notice_id,
        delivery.channel,
        before=delivery.state,
        after=TRANSITIONS[delivery.state, event],
        tried=event is not Event.WITHHELD,
        next_attempt_at=again_at,
        now=now,
    )
    happened = DeliveryEvent(channel=delivery.channel, event=event, reason=reason, at=now)
    await delivery_store.insert_event(
        conn, company_id, delivery.notice_id, delivery.member_id, happened
    )
    if event is Event.HANDED_OVER:
        await _write_down(conn, company_id, delivery, delivery.channel, now)


async def _write_down(
    conn: Connection, company_id: UUID, told: Notice | Delivery, channel: Channel, now: datetime
) -> None:
    await ledger.append(
        conn,
        company_id,
        Act.NOTICE_SENT,
        actor=SYSTEM,
        subject_id=told.member_id,
        detail={"notice_id": str(told.notice_id)},
        facts={"kind": told.kind.value, "channel": channel.value},
        now=now,
    )
