"""The sender: writes and seals what was queued, then hands it over, channel by channel.

At least once: a message may go twice if a crash falls between handing over and recording it, and
then has the same id.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.credentials.model import MemberMissing
from server.delivery import store
from server.delivery.model import Message, Undelivered, after_failure
from server.delivery.ports import Port
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.notice_kinds.kinds import Category, Channel
from server.notice_kinds.table import KINDS
from server.notices import preparing
from server.notices import service as notices
from server.notices.model import Delivery, Event, MessageConsent, Reason, consents_needed
from server.vault.service import Vault

log = structlog.get_logger(__name__)

Consents: TypeAlias = Callable[
    [Connection, UUID, UUID, datetime], Awaitable[Collection[MessageConsent]]
]
"""Which consents to messages a member has given, ``(conn, company_id, member_id, at)``; of one who
is not asked, all."""

SENDING_MAX: Final = 4
"""Messages on their way at the same time; each holds a connection of the pool."""
BATCH_MAX: Final = 200
RUN_S_MAX: Final = 45.0
"""After so long a run leaves the rest to the next, a minute later."""
SERVICE_KINDS: Final = frozenset(
    kind for kind, one in KINDS.items() if one.category is Category.SERVICE
)
OUT_OF_ORDER: Final = frozenset({Reason.UNREACHABLE, Reason.TOO_SLOW, Reason.NOT_ACCEPTED_HERE})
"""The port itself is out of order: trying the next message now would fail the same way."""


class Deliverer:
    """Delivers for one process, over the ways out that are set up.

    ``now`` of a run is when it began; what happens in it is dated by the clock as it happens.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        ports: Mapping[Channel, Port],
        *,
        consents: Consents,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._ports = ports
        self._consents = consents
        self._clock = clock
        self._sending = asyncio.Semaphore(SENDING_MAX)

    async def deliver(self, company_id: UUID, notice_id: UUID, now: datetime) -> None:
        """Prepare one notice and try what of it is due: the job's work."""
        await self._prepare(company_id, notice_id, now)
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            due = await store.due(
                conn, company_id, self._at(now), notice_id=notice_id, limit=len(Channel)
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
            due = await store.due(conn, company_id, self._at(now), limit=BATCH_MAX)
        out_of_order: set[Channel] = set()
        for notice_id, channel in due:
            if channel in out_of_order or time.monotonic() > ends:
                continue
            if await self._attempt(company_id, notice_id, channel, now) in OUT_OF_ORDER:
                out_of_order.add(channel)

    async def deliver_to(self, company_id: UUID, member_id: UUID, now: datetime) -> int:
        """Prepare and try what one member is still to be told; return how many messages wait.

        For the last moment before the member's notices are erased: marketing does not count.
        """
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            unprepared = await store.unprepared(
                conn, company_id, member_id=member_id, limit=BATCH_MAX
            )
        for notice_id in unprepared:
            await self._prepare_apart(company_id, notice_id, now)
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            due = await store.due(
                conn, company_id, self._at(now), member_id=member_id, limit=BATCH_MAX
            )
        for notice_id, channel in due:
            await self._attempt(company_id, notice_id, channel, now)
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            return await store.waiting(conn, company_id, member_id, SERVICE_KINDS)

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
            await preparing.prepare_one(
                conn,
                self._vault,
                company_id,
                notice_id,
                ways_out=self._ports.keys(),
                now=self._at(now),
            )

    async def _attempt(
        self, company_id: UUID, notice_id: UUID, channel: Channel, now: datetime
    ) -> Reason | None:
        """Hand one message over; return why that failed, None if it did not or was not due."""
        async with self._sending, db.tenant(self._pool, company_id) as conn:
            delivery = await store.lock_due(conn, company_id, notice_id, channel, self._at(now))
            if delivery is None:
                return None
            return await self._attempt_held(conn, company_id, delivery, now)

    async def _attempt_held(
        self, conn: Connection, company_id: UUID, delivery: Delivery, now: datetime
    ) -> Reason | None:
        """Attempt it in the transaction that keeps who opts out waiting until it is out."""
        try:
            port = self._port(delivery.channel)
            message = await self._message(conn, company_id, delivery)
            needed = consents_needed(delivery.kind, delivery.channel)
            # Held before it is asked for: an opt-out that was answered is seen, one that comes
            # now waits for this message and holds for the next.
            if needed and not await notices.hold_on_its_way(conn, company_id, delivery.member_id):
                return None  # somebody opts out just now: still due in a minute
            withheld = await self._withheld(conn, company_id, delivery, now)
            if withheld is not None:
                await preparing.record(
                    conn,
                    company_id,
                    delivery,
                    Event.WITHHELD,
                    reason=withheld,
                    now=self._at(now),
                )
                return withheld
            await self._hand_over(company_id, port, message, now)
        except Undelivered as failed:
            await _record_failure(conn, company_id, delivery, failed, self._at(now))
            return failed.reason
        await preparing.record(conn, company_id, delivery, Event.HANDED_OVER, now=self._at(now))
        return None

    def _port(self, channel: Channel) -> Port:
        try:
            return self._ports[channel]
        except KeyError:
            raise Undelivered(Reason.NOT_CONFIGURED) from None

    async def _withheld(
        self, conn: Connection, company_id: UUID, delivery: Delivery, now: datetime
    ) -> Reason | None:
        """Return why the message must not go out; None if it may.

        Asked last, with the notice held. No withdrawal of whom it names waits for a message: one
        that is answered by now is seen, one that comes now finds this message on its way.
        """
        if not await preparing.still_shared(conn, company_id, [delivery], now=self._at(now)):
            return Reason.NOT_SHARED
        needed = consents_needed(delivery.kind, delivery.channel)
        if not needed:
            return None
        given = await self._consents(conn, company_id, delivery.member_id, self._at(now))
        if not needed.issubset(given):
            return Reason.NOT_CONSENTED
        if MessageConsent.MARKETING in needed:
            wish = await notices.preference(conn, company_id, delivery.member_id)
            if not wish.wanted[delivery.channel]:
                return Reason.NOT_WANTED
        return None

    async def _hand_over(
        self, company_id: UUID, port: Port, message: Message, now: datetime
    ) -> None:
        try:
            await port.hand_over(message, self._at(now))
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
        held = await preparing.held_text(
            conn, self._vault, company_id, delivery.member_id, delivery.notice_id
        )
        try:
            reader = await accounts.profile(conn, self._vault, company_id, delivery.member_id)
        except MemberMissing:
            raise Undelivered(Reason.NO_ADDRESS) from None
        address = preparing.address(reader, delivery.channel)
        if held.elsewhere is not None:  # also where that cannot be read: to nobody else instead
            address = held.address
        if address is None or held.text is None:
            raise Undelivered(Reason.NO_ADDRESS)
        company = await accounts.company(conn, company_id)
        return Message(
            message_id=f"{delivery.notice_id}.{delivery.channel.value}",
            channel=delivery.channel,
            to=address,
            category=KINDS[delivery.kind].category,
            company=company.name,
            text=held.text,
            queued_at=delivery.queued_at,
        )

    def _at(self, now: datetime) -> datetime:
        """Return the moment, never before the run's beginning: a clock may be set back."""
        return max(now, self._clock())


async def _record_failure(
    conn: Connection, company_id: UUID, delivery: Delivery, failed: Undelivered, now: datetime
) -> None:
    event, again_at = after_failure(delivery, failed.reason, wait=failed.wait, now=now)
    await preparing.record(
        conn, company_id, delivery, event, reason=failed.reason, again_at=again_at, now=now
    )
    log.warning(
        "notice_undelivered",
        company=str(company_id),
        error=failed.reason.value,
        attempt=delivery.attempts + 1,
    )
