"""Who looked at whose position: written down, and committed, before the position leaves.

Each process remembers what it wrote in the running five minutes, so a look that adds nobody new
costs nothing. Looks of one company at the same moment share one transaction.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from server.kit import db
from server.kit.db import Connection, Pool
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor, Subject
from server.reads import alerts, store
from server.reads.alerts import Counted, Tell
from server.reads.model import (
    BUCKET,
    ClosedBucket,
    Look,
    ReadPurpose,
    ReadRow,
    Screen,
    View,
    bucket_of,
    set_hash,
)

CLOSED_AFTER: Final = timedelta(seconds=30)
"""What began in a bucket's last moment commits until then; what does not goes into the next."""
CLOSED_AT_ONCE_MAX: Final = 300
INSERT_TRIES_MAX: Final = 2

Drivers: TypeAlias = frozenset[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    look: Look
    drivers: Drivers
    read_at: datetime
    done: asyncio.Future[None]


class Reads:
    """The reads of one process; every screen's way to a position goes through here."""

    def __init__(self, pool: Pool, tell: Tell) -> None:
        self._pool = pool
        self._tell = tell
        self._bucket_at: datetime | None = None
        self._seen: dict[Look, list[Drivers]] = {}
        self._refused: set[tuple[Look, UUID]] = set()
        self._shared: dict[Drivers, Drivers] = {}
        """Equal sets are held once: many viewers look at the same fleet."""
        self._waiting: dict[UUID, list[_Wish]] = {}
        self._writing: dict[UUID, asyncio.Task[None]] = {}

    async def record(
        self,
        company_id: UUID,
        viewer: Actor,
        purpose: ReadPurpose,
        screen: Screen,
        driver_ids: Collection[UUID],
        now: datetime,
    ) -> None:
        """Return once it is committed that ``viewer`` looks at these drivers; then send.

        Never called while a connection of the pool is held: it takes one of its own. Where it
        raises, nothing may be sent.
        """
        if viewer.member_id is None and viewer.reference_id is None:
            raise ValueError("a viewer is somebody")
        self._begin(bucket_of(now))
        look = Look(company_id=company_id, viewer=viewer, purpose=purpose, screen=screen)
        new = frozenset(driver_ids).difference(*self._seen.get(look, ()))
        if not new:
            return
        done = asyncio.get_running_loop().create_future()
        wish = _Wish(look=look, drivers=new, read_at=now, done=done)
        self._waiting.setdefault(company_id, []).append(wish)
        if company_id not in self._writing:
            self._writing[company_id] = asyncio.create_task(self._write(company_id))
        await done

    async def refuse(
        self,
        company_id: UUID,
        viewer: Actor,
        purpose: ReadPurpose,
        screen: Screen,
        driver_id: UUID,
        now: datetime,
    ) -> None:
        """Return once it is committed that ``viewer`` asked for what this driver does not share.

        An entry of its own, about the driver; each process writes it once in five minutes.
        """
        self._begin(bucket_of(now))
        look = Look(company_id=company_id, viewer=viewer, purpose=purpose, screen=screen)
        if (look, driver_id) in self._refused:
            return
        async with db.tenant(self._pool, company_id) as conn:
            await ledger.append(
                conn,
                company_id,
                Act.READ_REFUSED,
                actor=viewer,
                subject_id=driver_id,
                facts={"purpose": purpose.value, "screen": screen.value},
                now=now,
            )
        self._refused.add((look, driver_id))

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writing.values())

    def _begin(self, bucket_at: datetime) -> None:
        """Forget the other bucket, all at once; also a later one, should the clock be set back."""
        if self._bucket_at != bucket_at:
            self._bucket_at = bucket_at
            self._seen.clear()
            self._refused.clear()
            self._shared.clear()

    async def _write(self, company_id: UUID) -> None:
        """Write what waits, in one transaction; and what came meanwhile, in the next."""
        try:
            while wishes := self._waiting.pop(company_id, None):
                await self._commit(company_id, wishes)
        finally:
            del self._writing[company_id]

    async def _commit(self, company_id: UUID, wishes: list[_Wish]) -> None:
        waiting = [wish for wish in wishes if not wish.done.done()]
        try:
            await self._insert(company_id, waiting)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            await self._refuse(company_id, waiting, error)
        else:
            for wish in waiting:
                self._remember(wish)
                if not wish.done.done():
                    wish.done.set_result(None)
        finally:
            for wish in wishes:
                wish.done.cancel()  # does nothing to one that is decided

    async def _insert(self, company_id: UUID, wishes: list[_Wish]) -> None:
        for tries_left in reversed(range(INSERT_TRIES_MAX)):
            try:
                async with db.tenant(self._pool, company_id) as conn:
                    known = await _insert(conn, company_id, wishes)
                    counted = [_counted(one, known) for one in wishes]
                    await alerts.raise_bulk_reads(conn, company_id, counted, self._tell)
            except db.ForeignKeyViolation:
                # A list of drivers that no read named any more was removed under our hands.
                if not tries_left:
                    raise
            else:
                return

    async def _refuse(self, company_id: UUID, wishes: list[_Wish], error: Exception) -> None:
        if len(wishes) > 1 and not db.is_outage(error):
            # One that cannot be written, its viewer just erased, must not blind the others.
            for wish in wishes:
                await self._commit(company_id, [wish])
            return
        for wish in wishes:
            if not wish.done.done():
                wish.done.set_exception(error)

    def _remember(self, wish: _Wish) -> None:
        if bucket_of(wish.read_at) == self._bucket_at:
            drivers = self._shared.setdefault(wish.drivers, wish.drivers)
            self._seen.setdefault(wish.look, []).append(drivers)


async def close_buckets(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Write one entry with the hash of its reads for each bucket that is over; return how many.

    The last thing its transaction does.
    """
    until = now - BUCKET - CLOSED_AFTER
    over = await store.open_buckets(conn, company_id, until=until, limit=CLOSED_AT_ONCE_MAX)
    closed = 0
    for bucket_at in over:
        if not await store.lock_open_bucket(conn, company_id, bucket_at):
            continue  # another job runner was first
        bucket = ClosedBucket.of(bucket_at, await store.rows(conn, company_id, bucket_at))
        place = await ledger.append(
            conn,
            company_id,
            Act.LOCATION_READ_BUCKET,
            actor=SYSTEM,
            subject_id=None,
            facts=bucket.facts(),
            now=now,
        )
        await store.close_bucket(conn, company_id, bucket_at, ledger_index=place.index)
        closed += 1
    return closed


async def views_of(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    *,
    since: datetime,
    before: View | None = None,
    but: Collection[datetime] = (),
    limit: int,
) -> list[View]:
    """Return who looked at a driver since then, the latest first; ``before`` is the last of a page.

    One per five minutes, viewer, purpose and screen. Without disclosures that were read at those
    very times: ``but`` is what is still kept secret from the driver.
    """
    known = (await ledger.subjects(conn, company_id, [member_id])).get(member_id)
    if known is None:
        return []
    place = None
    if before is not None:
        place = (
            before.bucket_at,
            before.viewer_kind,
            before.viewer_id,
            before.purpose,
            before.screen,
        )
    found = await store.views(
        conn, company_id, known.pseudonym, since=since, before=place, but=but, limit=limit
    )
    viewers = {row["viewer_id"] for row in found}
    members = await ledger.members_of(conn, company_id, viewers) if viewers else {}
    return [View(**row, viewer_member_id=members.get(row["viewer_id"])) for row in found]


async def _insert(conn: Connection, company_id: UUID, wishes: list[_Wish]) -> dict[UUID, Subject]:
    """Write the looks; return how the ledger knows those who look and are looked at."""
    people = {one for wish in wishes for one in wish.drivers}
    people |= {one for wish in wishes if (one := wish.look.viewer.member_id) is not None}
    now = max(wish.read_at for wish in wishes)
    known = await ledger.pseudonyms(conn, company_id, people, now)
    names = await _insert_sets(conn, company_id, {wish.drivers for wish in wishes}, known)
    by_bucket: dict[datetime, list[_Wish]] = defaultdict(list)
    for wish in wishes:
        by_bucket[bucket_of(wish.read_at)].append(wish)
    for began in sorted(by_bucket):
        rows = {
            row.key: row
            for wish in by_bucket[began]
            if (row := _row(wish, names, known)) is not None
        }
        if rows:
            bucket_at = await _shared_bucket(conn, company_id, began)
            ordered = [rows[key] for key in sorted(rows)]
            await store.insert_rows(conn, company_id, bucket_at, ordered)
    return known


def _counted(wish: _Wish, known: dict[UUID, Subject]) -> Counted:
    look = wish.look
    return Counted(
        viewer=look.viewer,
        viewer_id=_viewer_id(look.viewer, known),
        purpose=look.purpose,
        screen=look.screen,
        at=wish.read_at,
    )


def _viewer_id(viewer: Actor, known: dict[UUID, Subject]) -> UUID:
    """Return how the ledger names a viewer: by a pseudonym, or the id of a token or link."""
    if viewer.member_id is not None:
        return known[viewer.member_id].pseudonym
    if viewer.reference_id is None:
        raise ValueError("a viewer is somebody")
    return viewer.reference_id


async def _insert_sets(
    conn: Connection, company_id: UUID, wanted: Iterable[Drivers], known: dict[UUID, Subject]
) -> dict[Drivers, bytes]:
    """Store each set of drivers; return its name. Those who are no members are not in it."""
    names: dict[Drivers, bytes] = {}
    sets: dict[bytes, list[UUID]] = {}
    for drivers in wanted:
        members = sorted(known[one].pseudonym for one in drivers if one in known)
        if members:
            names[drivers] = name = set_hash(company_id, members)
            sets[name] = members
    for name in sorted(sets):  # in one order, so that two processes do not wait for each other
        await store.insert_set(conn, company_id, name, sets[name])
    return names


def _row(wish: _Wish, names: dict[Drivers, bytes], known: dict[UUID, Subject]) -> ReadRow | None:
    name = names.get(wish.drivers)
    if name is None:
        return None
    viewer = wish.look.viewer
    return ReadRow(
        viewer_kind=viewer.kind.value,
        viewer_id=_viewer_id(viewer, known),
        purpose=wish.look.purpose.value,
        screen=wish.look.screen.value,
        set_hash=name,
        read_at=wish.read_at,
    )


async def _shared_bucket(conn: Connection, company_id: UUID, bucket_at: datetime) -> datetime:
    """Return the bucket, held open; the next one where a late clock comes to a closed one."""
    while True:
        await store.insert_bucket(conn, company_id, bucket_at)
        if await store.share_open_bucket(conn, company_id, bucket_at):
            return bucket_at
        bucket_at += BUCKET
