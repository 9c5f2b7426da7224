"""Reading tracks and latest positions; forgetting them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
import structlog

from server.accounts.service import shown_since
from server.gate import service as gates
from server.gate.drawing import ReadsBusy, in_thread
from server.gate.model import Gate, Purpose, Windows
from server.kit.db import Connection
from server.tracking import codec, store
from server.tracking.codec import BlobUnreadable, Unpacked
from server.tracking.model import (
    ACCURACY_M,
    FUTURE_MAX_S,
    HEADING_DEG,
    LAT,
    LATEST_KEPT_S,
    LON,
    MILLISECOND,
    SPEED_MPS,
    TRACK_POSITIONS_MAX,
    TRACK_SPAN_DAYS_MAX,
    Availability,
    LatestPosition,
    Positions,
    SealedChunk,
    Track,
    TrackPurpose,
    TrackSpanInvalid,
    TrackTooLong,
    ceil_ms,
    end_to_end,
    from_ms,
    in_batches,
    in_windows,
    window_columns,
)
from server.tracking.store import SealedLatest
from server.vault.model import DataKey
from server.vault.service import Vault

log = structlog.get_logger(__name__)

PART_POSITIONS: Final = 20_000
"""About so many are opened and written at once where a track is read part by part."""
PART_CHUNKS: Final = 2_000
PART_MIN: Final = timedelta(seconds=1)
OPENED_MAX: Final = 100_000
"""More are never held in memory for a part, and those of one millisecond."""
OPENED_AT_ONCE: Final = 50_000
"""In addition to them, while they are chosen; or one chunk, if it is larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTrack:
    """What was read of a track, still sealed: opening it needs no database."""

    gate: Gate
    """As it was read before anything else."""
    since: datetime
    until: datetime
    fenced: bool
    availability: Availability
    """``full`` unless it is known already that there is nothing."""
    windows: Windows = ()
    chunks: Sequence[SealedChunk] = field(default=(), repr=False)
    keys: Mapping[UUID, DataKey] = field(default_factory=dict, repr=False)
    kept: Track | None = field(default=None, repr=False)
    """What was opened already, in place of chunks."""
    whole: bool = False
    """It is said to be all there is: nothing may be left out because it cannot be opened."""


async def reach(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    since: datetime,
    until: datetime,
    *,
    purpose: TrackPurpose,
    now: datetime,
) -> SealedTrack:
    """Find out what of ``[since, until)`` the purpose covers; no position is read yet.

    For a purpose of the company: only what was recorded after the present consents to location
    and to that purpose, inside windows; nothing (``not_shared``) when one is not given. The
    driver's own access (``subject_access``) sees everything that is kept.

    Raises
    ------
    GateMissing
        There is no such driver in this company.
    TrackSpanInvalid
    """
    if not timedelta(0) < until - since <= timedelta(days=TRACK_SPAN_DAYS_MAX):
        raise TrackSpanInvalid(f"Ask for more than nothing and at most {TRACK_SPAN_DAYS_MAX} days.")
    gate = await gates.read(conn, company_id, driver_id)
    found = SealedTrack(
        gate=gate,
        since=since,
        until=until,
        fenced=purpose is not TrackPurpose.SUBJECT_ACCESS,
        availability=Availability.NO_POSITIONS,
    )
    given = gate.since(Purpose(purpose.value), now) if found.fenced else None
    if found.fenced and given is None:
        return replace(found, availability=Availability.NOT_SHARED)
    if given is not None:
        apart = (await store.set_apart_before(conn, company_id, [driver_id])).get(driver_id)
        # No grant reaches back that far; only what the driver shows again later could.
        given = given if apart is None else max(given, apart)
        since = await shown_since(conn, company_id, max(since, given), now=now)
    if not since < until:
        return found
    windows = await gates.windows(conn, company_id, driver_id, since=since, until=until)
    if given is not None:
        # A window that was open before the consent was shared from the consent on.
        windows = tuple(
            replace(window, opened_at=max(window.opened_at, given)) for window in windows
        )
    return replace(found, since=since, availability=Availability.FULL, windows=windows)


async def gather(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    since: datetime,
    until: datetime,
    *,
    purpose: TrackPurpose,
    now: datetime,
) -> SealedTrack:
    """Read all positions of ``[since, until)`` at once, as far as :func:`reach` lets.

    Raises
    ------
    GateMissing, TrackSpanInvalid
    TrackTooLong
        More than ``TRACK_POSITIONS_MAX``: they have to be held in memory together.
    """
    found = await reach(conn, company_id, driver_id, since, until, purpose=purpose, now=now)
    if found.availability is not Availability.FULL:
        return found
    return await _with_chunks(conn, vault, found, positions_max=TRACK_POSITIONS_MAX)


async def part(
    conn: Connection,
    vault: Vault,
    found: SealedTrack,
    since: datetime,
    *,
    positions: int = PART_POSITIONS,
) -> SealedTrack:
    """Read the next part of what :func:`reach` found, from ``since`` to where its ``until`` says.

    It ends with the chunk that makes it more than so many positions, or with the span; earlier
    where many chunks lie over one another. Parts never overlap, and opened one after the other
    they are the whole: in order, each position once. ``conn`` reads one snapshot.

    Raises
    ------
    ReadsBusy
        As :func:`opened`.
    """
    end = await store.end_of_part(
        conn,
        found.gate.company_id,
        found.gate.driver_id,
        since=since,
        until=found.until,
        positions=positions,
        chunks=PART_CHUNKS,
    )
    if end is not None:
        # At least so long: of phones whose chunks all end at once a second comes whole.
        until = min(found.until, max(end + MILLISECOND, since + PART_MIN))
        found = replace(found, until=until)
    found = replace(found, since=since)
    try:
        return await _with_chunks(conn, vault, found, positions_max=OPENED_MAX)
    except TrackTooLong:
        return await _opened_by_and_by(conn, vault, found)


async def _opened_by_and_by(conn: Connection, vault: Vault, found: SealedTrack) -> SealedTrack:
    """Open a few chunks at a time, as they begin, and keep the earliest positions of them.

    It ends where more would have to be kept. Rare: until they are merged, uploads of a phone that
    was offline for long, or of several phones, may lie over one another.
    """
    ids = (found.gate.company_id, found.gate.driver_id)
    places = await store.places(conn, *ids, since=found.since, until=found.until)
    kept = Track.empty(Availability.NO_POSITIONS, found.windows)
    for some in in_batches(places, OPENED_AT_ONCE):
        if some[0].first_at >= found.until:
            break
        chunks = await store.chunks_at(conn, *ids, some)
        keys = await vault.keys(found.gate.company_id, (chunk.key_id for chunk in chunks))
        kept = await in_thread(_with_more, kept, replace(found, chunks=chunks, keys=keys))
        if len(kept) >= OPENED_MAX:
            found = replace(found, until=from_ms(int(kept.time_ms[-1]) + 1))
    return replace(found, kept=kept)


def _with_more(kept: Track, found: SealedTrack) -> Track:
    more = opened(found)
    track = replace(end_to_end([kept, more]), availability=Availability.FULL)
    return track.in_order().earliest(OPENED_MAX) if len(more) else kept


async def _with_chunks(
    conn: Connection, vault: Vault, found: SealedTrack, *, positions_max: int | None = None
) -> SealedTrack:
    chunks = await store.chunks(
        conn,
        found.gate.company_id,
        found.gate.driver_id,
        since=found.since,
        until=found.until,
        positions_max=positions_max,
    )
    if chunks is None:
        raise TrackTooLong
    keys = await vault.keys(found.gate.company_id, (chunk.key_id for chunk in chunks))
    return replace(found, chunks=chunks, keys=keys)


def opened(found: SealedTrack) -> Track:
    """Open what was gathered. Takes its time: a long one belongs in a thread.

    Raises
    ------
    ReadsBusy
        It has to be whole, and a row of it cannot be opened: it is being erased, or damaged.
    """
    if found.kept is not None:
        return found.kept
    if found.availability is not Availability.FULL:
        return Track.empty(found.availability)
    track = _open_track(found)
    inside = (track.time_ms >= ceil_ms(found.since)) & (track.time_ms < ceil_ms(found.until))
    if found.fenced:
        inside &= in_windows(track.time_ms, *window_columns(found.windows))
    return track.where(inside)


async def track(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    since: datetime,
    until: datetime,
    *,
    purpose: TrackPurpose,
    now: datetime,
) -> Track:
    """Gather and open in one go, for a caller with time and a connection of its own.

    Raises
    ------
    GateMissing, TrackSpanInvalid, TrackTooLong
    """
    found = await gather(conn, vault, company_id, driver_id, since, until, purpose=purpose, now=now)
    return await asyncio.to_thread(opened, found)


def _open_track(found: SealedTrack) -> Track:
    """Open the chunks; each device and time once, oldest first."""
    opened = []
    for chunk in found.chunks:
        key = found.keys.get(chunk.key_id)
        if key is not None:  # else destroyed meanwhile
            try:
                opened.append(codec.open_chunk(key, chunk.blob, chunk.upload_id))
            except BlobUnreadable:
                log.warning("chunk_unreadable")
    if found.whole and len(opened) < len(found.chunks):
        raise ReadsBusy
    if not opened:
        return Track.empty(Availability.NO_POSITIONS, found.windows)
    return replace(merged(opened), windows=found.windows)


def merged(opened: Sequence[Unpacked]) -> Track:
    """Return the positions of at least one chunk: oldest first, each device and time once."""
    return end_to_end([Track.of(*one) for one in opened]).in_order()


async def latest_positions(
    conn: Connection, vault: Vault, company_id: UUID, watched: Sequence[Gate], *, now: datetime
) -> dict[UUID, LatestPosition]:
    """Return by driver where they were last, at most 15 minutes ago.

    ``watched`` are the gates of those in a window now, read in this very transaction: nothing is
    returned of who did not consent to dispatch tracking, or from before that consent.
    """
    since = [
        (gate, given)
        for gate in watched
        if (given := gate.since(Purpose.DISPATCH_TRACKING, now)) is not None
    ]
    return await latest_since(conn, vault, company_id, since, now=now)


async def latest_since(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    watched: Sequence[tuple[Gate, datetime]],
    *,
    now: datetime,
) -> dict[UUID, LatestPosition]:
    """Return by driver where they were last, at most 15 minutes ago and not before their time.

    That is what the purpose covers, by the gates that were read in this very transaction.
    """
    oldest = now - timedelta(seconds=LATEST_KEPT_S)
    gate_of = {gate.driver_id: gate for gate, _ in watched}
    since = {gate.driver_id: max(given, oldest) for gate, given in watched}
    if not since:
        return {}
    apart = await store.set_apart_before(conn, company_id, list(since))
    since |= {driver_id: max(since[driver_id], before) for driver_id, before in apart.items()}
    found = await store.newest(conn, company_id, list(since), list(since.values()))
    keys = await vault.keys_of_many(company_id, (one.key_id for one in found))
    return {
        one.driver_id: latest
        for one in found
        if (key := keys.get(one.key_id)) is not None
        and (latest := _open_latest(one, key, gate_of[one.driver_id].epoch)) is not None
    }


def _open_latest(sealed: SealedLatest, key: DataKey, epoch: int) -> LatestPosition | None:
    try:
        if sealed.upload_id is None:
            packed = codec.unseal(
                key, sealed.blob, row_id=sealed.driver_id, schema=codec.LATEST_SCHEMA
            )
            positions = codec.unpack(packed).positions
        else:
            positions = codec.open_chunk(key, sealed.blob, sealed.upload_id).positions
    except BlobUnreadable:
        log.warning("chunk_unreadable")
        return None
    return LatestPosition(
        driver_id=sealed.driver_id,
        recorded_at=from_ms(int(positions.time_ms[-1])),
        lat=float(positions.values[LAT, -1]),
        lon=float(positions.values[LON, -1]),
        accuracy_m=_known(positions, ACCURACY_M),
        speed_mps=_known(positions, SPEED_MPS),
        heading_deg=_known(positions, HEADING_DEG),
        epoch=epoch,
    )


def _known(positions: Positions, column: int) -> float | None:
    value = float(positions.values[column, -1])
    return None if np.isnan(value) else value


async def sweep_latest(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete the latest positions that are 15 minutes old; return how many. Due each minute."""
    return await store.delete_latest_before(
        conn, company_id, now - timedelta(seconds=LATEST_KEPT_S)
    )


async def set_apart(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> int:
    """Hide what is stored of the driver from the company for good; return how many positions.

    Nothing is deleted: the driver still sees it. Inside ``gate.service.stopping``, so that nothing
    more of it commits.
    """
    # A phone's clock may be fast: what is stored already may lie so far ahead.
    before = now + timedelta(seconds=FUTURE_MAX_S)
    return await store.set_apart(conn, company_id, driver_id, before)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete every position and counter of the driver; return the number of rows.

    The gate has to be closed by then and the account not active, or more may come.
    """
    return await store.delete_driver(conn, company_id, member_id)
