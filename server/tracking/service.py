"""Reading tracks and latest positions; forgetting them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import structlog

from server.credentials.model import Caller
from server.gate import service as gates
from server.gate.model import Gate, GateMissing, Purpose, Windows
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
    SPEED_MPS,
    TRACK_POSITIONS_MAX,
    TRACK_SPAN_DAYS_MAX,
    Availability,
    Bytes,
    Floats,
    Ints,
    LatestPosition,
    Positions,
    Track,
    TrackPurpose,
    TrackSpanInvalid,
    TrackTooLong,
    ceil_ms,
    from_ms,
    in_windows,
    window_columns,
)
from server.tracking.store import SealedChunk, SealedLatest
from server.vault.model import DataKey
from server.vault.service import Vault

log = structlog.get_logger(__name__)


def purpose_of(caller: Caller, driver_id: UUID) -> TrackPurpose:
    """Return what the caller may read the driver's track for.

    Raises
    ------
    GateMissing
        Drivers see nobody's but their own, and not whether others exist.
    """
    if caller.is_staff:
        return TrackPurpose.PLAN_FACT
    if caller.member_id != driver_id:
        raise GateMissing
    return TrackPurpose.SUBJECT_ACCESS


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
    """Read the driver's positions of ``[since, until)``, as far as the purpose covers them.

    For a purpose of the company: only what was recorded after the present consents to location
    and to that purpose, inside windows; nothing (``not_shared``) when one is not given. The
    driver's own access (``subject_access``) sees everything that is kept.

    Raises
    ------
    GateMissing
        There is no such driver in this company.
    TrackSpanInvalid, TrackTooLong
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
        since = max(since, given)
    if not since < until:
        return found
    windows = await gates.windows(conn, company_id, driver_id, since=since, until=until)
    if given is not None:
        # A window that was open before the consent was shared from the consent on.
        windows = tuple(
            replace(window, opened_at=max(window.opened_at, given)) for window in windows
        )
    span = {"since": since, "until": until}
    if await store.count_positions(conn, company_id, driver_id, **span) > TRACK_POSITIONS_MAX:
        raise TrackTooLong
    chunks = await store.chunks(conn, company_id, driver_id, **span)
    return replace(
        found,
        since=since,
        availability=Availability.FULL,
        windows=windows,
        chunks=chunks,
        keys=await vault.keys(company_id, (chunk.key_id for chunk in chunks)),
    )


def opened(found: SealedTrack) -> Track:
    """Open what was gathered. Takes its time: a long one belongs in a thread."""
    if found.availability is not Availability.FULL:
        return _nothing(found.availability)
    whole = _open_track(found.chunks, found.keys, found.windows)
    inside = (whole.time_ms >= ceil_ms(found.since)) & (whole.time_ms < ceil_ms(found.until))
    if found.fenced:
        inside &= in_windows(whole.time_ms, *window_columns(found.windows))
    return whole.where(inside)


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


def _open_track(
    sealed: Sequence[SealedChunk], keys: Mapping[UUID, DataKey], windows: Windows
) -> Track:
    """Open the chunks; each device and time once, oldest first."""
    opened = []
    for chunk in sealed:
        key = keys.get(chunk.key_id)
        if key is None:  # destroyed meanwhile
            continue
        try:
            opened.append(codec.open_chunk(key, chunk.blob, chunk.upload_id))
        except BlobUnreadable:
            log.warning("chunk_unreadable")
    if not opened:
        return _nothing(Availability.NO_POSITIONS, windows)
    return replace(merged(opened), windows=windows)


def merged(opened: Sequence[Unpacked]) -> Track:
    """Return the positions of at least one chunk: oldest first, each device and time once."""
    time_ms = np.concatenate([one.positions.time_ms for one in opened])
    values = np.concatenate([one.positions.values for one in opened], axis=1)
    flags = np.concatenate([one.positions.flags for one in opened])
    device = np.repeat(
        np.array([one.device_number for one in opened], np.uint8),
        [len(one.positions) for one in opened],
    )
    if np.all(time_ms[1:] > time_ms[:-1]):  # as merged hours of one device come
        return _whole(time_ms, values, flags, device)
    # What a phone sent again in another batch: the same device, the same time.
    order = np.lexsort((device, time_ms))
    fresh = np.ones(order.size, np.bool_)
    fresh[1:] = (np.diff(time_ms[order]) != 0) | (np.diff(device[order].astype(np.int64)) != 0)
    chosen = order[fresh]
    return _whole(time_ms[chosen], values[:, chosen], flags[chosen], device[chosen])


def _whole(time_ms: Ints, values: Floats, flags: Bytes, device: Bytes) -> Track:
    return Track(
        time_ms=time_ms,
        values=values,
        flags=flags,
        device=device,
        availability=Availability.FULL,
        windows=(),
    )


def _nothing(availability: Availability, windows: Windows = ()) -> Track:
    return Track(
        time_ms=np.empty(0, np.int64),
        values=np.empty((7, 0)),
        flags=np.empty(0, np.uint8),
        device=np.empty(0, np.uint8),
        availability=availability,
        windows=windows,
    )


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
    keys = await vault.keys(company_id, (one.key_id for one in found))
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
