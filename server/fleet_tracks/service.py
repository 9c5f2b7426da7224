"""Reading the tracks of many drivers, each as far as they share it; finding who was at a place.

Purpose: ``plan_fact``, and nothing else. Only for it is a past kept at all.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from geo.circle import Circle
from server.accounts.service import shown_since
from server.fleet_tracks import store
from server.fleet_tracks.model import (
    AREA_POSITIONS_MAX,
    BATCH_POSITIONS,
    PART_POSITIONS_MIN,
    POSITIONS_MAX,
    Area,
    AreaSearchTooLong,
    Found,
    Share,
    Sightings,
    batches,
)
from server.gate import service as gates
from server.gate.drawing import in_thread
from server.gate.model import Gate, GateMissing, Purpose, Windows
from server.kit import db
from server.kit.db import Connection, Pool
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, instant_text
from server.reads.model import ReadPurpose
from server.tracking import service as tracking
from server.tracking.model import (
    TRACK_SPAN_DAYS_MAX,
    Availability,
    TrackSpanInvalid,
)
from server.tracking.service import SealedTrack
from server.vault.service import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPage:
    """Tracks that were read and not opened yet, by driver id."""

    tracks: Sequence[SealedTrack]
    too_long: AbstractSet[UUID]
    """Who alone has more positions than a page holds: nothing was read of them."""
    last: UUID | None
    """The last driver of the page, if others follow."""


async def page(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_ids: Collection[UUID] | None,
    since: datetime,
    until: datetime,
    *,
    after: UUID,
    limit: int,
    now: datetime,
) -> SealedPage:
    """Read the tracks of ``[since, until)`` of these drivers, or of all who share theirs.

    ``conn`` reads one snapshot. A page ends at ``limit`` drivers, or before the one with whom it
    would hold too many positions; who alone has too many is named, and the page goes on.

    Raises
    ------
    GateMissing
        One of these drivers is not in this company.
    TrackSpanInvalid
    """
    if not timedelta(0) < until - since <= timedelta(days=TRACK_SPAN_DAYS_MAX):
        raise TrackSpanInvalid(f"Ask for more than nothing and at most {TRACK_SPAN_DAYS_MAX} days.")
    known = await _asked(conn, company_id, driver_ids)
    rest = [gate for gate in known if gate.driver_id > after]
    if driver_ids is None:  # nobody asked for those who do not share
        rest = [gate for gate in rest if gate.since(Purpose.PLAN_FACT, now) is not None]
    shares = {
        share.driver_id: share
        for share in await shared(conn, company_id, rest[:limit], since, until, now=now)
    }
    chosen: list[Gate] = []
    too_long: set[UUID] = set()
    positions = 0
    for gate in rest[:limit]:
        own = shares[gate.driver_id].positions if gate.driver_id in shares else 0
        if own > POSITIONS_MAX:
            too_long.add(gate.driver_id)
        elif positions + own > POSITIONS_MAX:
            break
        else:
            positions += own
        chosen.append(gate)
    covered = [
        shares[gate.driver_id]
        for gate in chosen
        if gate.driver_id in shares and gate.driver_id not in too_long
    ]
    found = {
        one.gate.driver_id: one
        for one in await gather(conn, vault, company_id, covered, since, until)
    }
    return SealedPage(
        tracks=[found.get(gate.driver_id) or _not_shared(gate, since, until) for gate in chosen],
        too_long=too_long,
        last=chosen[-1].driver_id if len(chosen) < len(rest) else None,
    )


async def _asked(
    conn: Connection, company_id: UUID, driver_ids: Collection[UUID] | None
) -> list[Gate]:
    """Return the gates of these drivers, or of all, by driver id."""
    if driver_ids is None:
        found = await gates.read_all(conn, company_id)
    else:
        wanted = sorted(set(driver_ids))
        found = await gates.read_some(conn, company_id, wanted)
        if len(found) < len(wanted):
            raise GateMissing
    return sorted(found, key=lambda gate: gate.driver_id)


async def shared(
    conn: Connection,
    company_id: UUID,
    asked: Sequence[Gate],
    since: datetime,
    until: datetime,
    *,
    now: datetime,
) -> list[Share]:
    """Return what those of the drivers who share anything share of ``[since, until)``.

    Only what was recorded after their present consents to location and to plan versus fact, and
    not what was set apart or is older than the company keeps it. Windows are looked at when it is
    read.
    """
    since = await shown_since(conn, company_id, since, now=now)
    given = {
        gate.driver_id: (gate, at)
        for gate in asked
        if (at := gate.since(Purpose.PLAN_FACT, now)) is not None
    }
    found = await store.extents(
        conn, company_id, list(given), [at for _, at in given.values()], since=since, until=until
    )
    return [
        Share(gate=given[one.driver_id][0], since=one.since, positions=one.positions)
        for one in found
    ]


async def gather(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    shares: Sequence[Share],
    since: datetime,
    until: datetime,
) -> list[SealedTrack]:
    """Read the sealed positions of these drivers, in three statements."""
    driver_ids = [share.driver_id for share in shares]
    windows = await gates.windows_of(conn, company_id, driver_ids, since=since, until=until)
    chunks = await store.chunks(
        conn, company_id, driver_ids, [share.since for share in shares], until=until
    )
    keys = await vault.keys_of_many(
        company_id, (one.key_id for rows in chunks.values() for one in rows)
    )
    return [
        replace(
            _sealed(share, until, windows.get(share.driver_id, ())),
            chunks=chunks[share.driver_id],
            keys=keys,
        )
        for share in shares
    ]


def _sealed(share: Share, until: datetime, windows: Windows) -> SealedTrack:
    return SealedTrack(
        gate=share.gate,
        since=share.since,
        until=until,
        fenced=True,
        availability=Availability.FULL if share.since < until else Availability.NO_POSITIONS,
        # A window that was open before the consent was shared from the consent on.
        windows=tuple(
            replace(window, opened_at=max(window.opened_at, share.since))
            for window in windows
            if window.end > share.since
        ),
    )


def _not_shared(gate: Gate, since: datetime, until: datetime) -> SealedTrack:
    return SealedTrack(
        gate=gate,
        since=since,
        until=until,
        fenced=True,
        availability=Availability.NOT_SHARED,
    )


async def searchable(
    conn: Connection, company_id: UUID, area: Area, *, now: datetime
) -> list[Share]:
    """Return who shares anything of the time of the search: who recorded nothing then, too.

    Raises
    ------
    AreaSearchTooLong
        Together they have more positions than are opened for one search.
    """
    everybody = await gates.read_all(conn, company_id)
    found = await shared(conn, company_id, everybody, area.since, area.until, now=now)
    shares = [share for share in found if share.since < area.until]
    if sum(share.positions for share in shares) > AREA_POSITIONS_MAX:
        raise AreaSearchTooLong
    return shares


async def note_search(
    conn: Connection, company_id: UUID, actor: Actor, area: Area, drivers: int, *, now: datetime
) -> None:
    """Write down that somebody searches an area, and among how many; the place itself nowhere.

    The last thing its transaction does.
    """
    await ledger.append(
        conn,
        company_id,
        Act.AREA_SEARCHED,
        actor=actor,
        subject_id=None,
        facts={
            "drivers": drivers,
            "from": instant_text(area.since),
            "purpose": ReadPurpose.PLAN_FACT.value,
            "radius_m": area.circle.radius_m,
            "to": instant_text(area.until),
        },
        now=now,
    )


async def search(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    area: Area,
    shares: Sequence[Share],
) -> list[Found]:
    """Return who of these drivers was in the area, by driver id.

    Opens all that they share of that time, batch after batch, in a thread and without holding a
    connection meanwhile; a cancellation ends it after the batch. Whether the gates are still
    those of the shares is judged where the answer leaves.
    """
    found: list[Found] = []
    for batch in batches(shares):
        if batch[0].positions > PART_POSITIONS_MIN:
            found += await _search_by_parts(pool, vault, company_id, area, batch[0])
            continue
        async with db.tenant(pool, company_id, readonly=True) as conn:
            sealed = await gather(conn, vault, company_id, batch, area.since, area.until)
        found += await in_thread(_found, sealed, area.circle)
    return sorted(found, key=lambda one: one.gate.driver_id)


async def search_again(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    area: Area,
    shares: Sequence[Share],
    before: Mapping[UUID, tuple[Share, Found | None]],
) -> dict[UUID, tuple[Share, Found | None]]:
    """Return by driver what was searched of them, and whether they were there; as :func:`search`.

    Whoever shares what they shared ``before``, under the same gate, is not searched again.
    """
    same = {
        share.driver_id: known
        for share in shares
        if (known := before.get(share.driver_id)) is not None and share.is_as(known[0])
    }
    changed = [share for share in shares if share.driver_id not in same]
    there = {
        one.gate.driver_id: one for one in await search(pool, vault, company_id, area, changed)
    }
    found = same | {share.driver_id: (share, there.get(share.driver_id)) for share in changed}
    return dict(sorted(found.items()))


async def _search_by_parts(
    pool: Pool, vault: Vault, company_id: UUID, area: Area, share: Share
) -> list[Found]:
    """Search one long track, of which a part at a time is in memory."""
    async with db.tenant(pool, company_id, readonly=True) as conn:
        windows = await gates.windows_of(
            conn, company_id, [share.driver_id], since=area.since, until=area.until
        )
    whole = _sealed(share, area.until, windows.get(share.driver_id, ()))
    sightings, since = Sightings(area.circle), whole.since
    while since < whole.until:
        async with db.tenant(pool, company_id, readonly=True) as conn:
            await db.one_snapshot(conn)
            part = await tracking.part(conn, vault, whole, since, positions=BATCH_POSITIONS)
        await in_thread(_look_at, sightings, part)
        since = part.until
    seen = sightings.visits()
    return [Found(gate=share.gate, visits=seen)] if seen else []


def _look_at(sightings: Sightings, part: SealedTrack) -> None:
    sightings.add(tracking.opened(part))


def _found(sealed: Sequence[SealedTrack], circle: Circle) -> list[Found]:
    """Open tracks; return whose touch the circle. The rest is forgotten here."""
    found = []
    for one in sealed:
        sightings = Sightings(circle)
        _look_at(sightings, one)
        if seen := sightings.visits():
            found.append(Found(gate=one.gate, visits=seen))
    return found
