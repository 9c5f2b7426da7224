"""Routes that are being driven, followed: twice a minute, and only what is new is read.

What the following needs of a route's past is held by this process alone, never stored, and made
anew from the track after a start, after an edition of the plan and after a change of consent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from uuid import UUID

import structlog

from geo import live
from geo.live import LiveState, LiveSummary
from geo.values import OwnTime
from server.gate import service as gates
from server.gate.drawing import in_thread
from server.gate.model import Gate, Purpose, Windows
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.reports import store
from server.reports.drawing import as_geo, spans_of, within
from server.reports.final import the_server_of
from server.routes import service as routes
from server.routes.model import RouteHead
from server.tracking import service as tracking
from server.tracking.model import Availability, SealedChunk, TrackPurpose
from server.tracking.service import SealedTrack
from server.vault.model import DataKey
from server.vault.service import Vault

log = structlog.get_logger(__name__)

ROUTES_HELD_MAX: Final = 2_000
"""In this process; further routes have their reports when they are asked for, but no alerts."""
BEGINNING_S_MAX: Final = 10.0
"""How long a refresh reads whole tracks, as after a start; the others wait for the next."""
COMMITS_WITHIN: Final = timedelta(seconds=60)
"""A row may be seen so much later than it says that it was stored; it is asked for again."""
AT_ONCE: Final = 20
"""Routes between which the process does other work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """A route as it stands at this refresh."""

    head: RouteHead
    gate: Gate
    """The driver's, as it was read; whoever tells of the route asks it again."""
    since: datetime
    """No position of it is older: what came before is of another route, or not shared."""
    summary: LiveSummary
    stop_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What is held of a route between two refreshes. No position of it is older than ``since``."""

    head: RouteHead
    gate: Gate
    since: datetime
    stop_ids: tuple[UUID, ...]
    state: LiveState
    read_at: datetime
    seen: frozenset[UUID]
    """Rows that were read already, and may be found again."""

    def is_of(self, head: RouteHead, gate: Gate) -> bool:
        # Given to another meanwhile and given back it begins anew.
        return (
            self.head.plan_version == head.plan_version
            and self.head.assigned_at == head.assigned_at
            and (self.gate.driver_id, self.gate.epoch) == (gate.driver_id, gate.epoch)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _More:
    """What came of a route since the last refresh, still sealed."""

    held: _Held
    windows: Windows
    chunks: Sequence[SealedChunk]


class LiveRoutes:
    """The routes that this process follows; one refresh at a time."""

    def __init__(self, pool: Pool, vault: Vault, reads: Reads) -> None:
        self._pool = pool
        self._vault = vault
        self._reads = reads
        self._held: dict[tuple[UUID, UUID], _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def refresh(self, company_id: UUID, *, now: datetime) -> list[Refreshed]:
        """Return how each route that is under way stands, as far as its driver shares it.

        Opens its own transactions. The look at the drivers is written down, once in five minutes,
        before anything is opened. A route that cannot be followed is left out, and told of.
        """
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            shared = await _shared(conn, company_id, now)
            known = self._known(company_id, shared)
            more = await _more(conn, company_id, known, now=now)
        if not shared:
            return []
        await self._reads.record(
            company_id,
            the_server_of(company_id),
            ReadPurpose.PLAN_FACT,
            Screen.AUTOMATIC_REPORT,
            {gate.driver_id for _, gate in shared},
            now,
        )
        keys = await self._vault.keys_of_many(
            company_id, (chunk.key_id for one in more for chunk in one.chunks)
        )
        for start in range(0, len(more), AT_ONCE):
            batch = more[start : start + AT_ONCE]
            for one, held in zip(batch, await in_thread(_advanced, batch, keys, now), strict=True):
                key = (company_id, one.held.head.route_id)
                if held is None:
                    del self._held[key]
                else:
                    self._held[key] = held
        await self._begin(company_id, shared, now)
        return await in_thread(self._summaries, company_id, shared, now)

    def _known(self, company_id: UUID, shared: Sequence[tuple[RouteHead, Gate]]) -> list[_Held]:
        """Return what is held of these routes, and forget all else of the company."""
        kept: dict[tuple[UUID, UUID], _Held] = {}
        for head, gate in shared:
            held = self._held.get((company_id, head.route_id))
            if held is not None and held.is_of(head, gate):
                kept[company_id, head.route_id] = replace(held, head=head, gate=gate)
        self._held = {
            **{key: held for key, held in self._held.items() if key[0] != company_id},
            **kept,
        }
        return list(kept.values())

    async def _begin(
        self, company_id: UUID, shared: Sequence[tuple[RouteHead, Gate]], now: datetime
    ) -> None:
        """Read the whole tracks of routes that are not followed yet, as long as there is time."""
        over_at, left_out = monotonic() + BEGINNING_S_MAX, 0
        # Who is not followed at all comes before who would be followed better.
        for head, gate in sorted(
            shared, key=lambda one: (company_id, one[0].route_id) in self._held
        ):
            key = (company_id, head.route_id)
            held = self._held.get(key)
            if held is not None and not held.state.rebuild_due:
                continue
            if held is None and len(self._held) >= ROUTES_HELD_MAX:
                left_out += 1
                continue
            if monotonic() >= over_at:
                break
            try:
                self._held[key] = await self._begun(company_id, head, gate, now)
            except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
                self._held.pop(key, None)
                log.warning("route_not_followed", company=str(company_id), **where(error))
        if left_out:
            log.warning("routes_not_followed", company=str(company_id), count=left_out)

    async def _begun(self, company_id: UUID, head: RouteHead, gate: Gate, now: datetime) -> _Held:
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            found = await routes.find(conn, self._vault, company_id, head.route_id)
            begin, _ = await routes.span(conn, company_id, head)
            track = await tracking.gather(
                conn,
                self._vault,
                company_id,
                gate.driver_id,
                begin,
                max(now, begin + timedelta(seconds=1)),
                purpose=TrackPurpose.PLAN_FACT,
                now=now,
            )
        return await in_thread(_from_the_start, found, track, head, begin, now)

    def _summaries(
        self, company_id: UUID, shared: Sequence[tuple[RouteHead, Gate]], now: datetime
    ) -> list[Refreshed]:
        found = []
        for head, gate in shared:
            held = self._held.get((company_id, head.route_id))
            if held is None:
                continue
            try:
                summary = live.summary(held.state, now_s=now.timestamp())
            except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
                log.warning("route_not_told", company=str(company_id), **where(error))
                continue
            found.append(
                Refreshed(
                    head=head,
                    gate=gate,
                    since=held.since,
                    summary=summary,
                    stop_ids=held.stop_ids,
                )
            )
        return found


async def _shared(
    conn: Connection, company_id: UUID, now: datetime
) -> list[tuple[RouteHead, Gate]]:
    """Return the routes that are under way, of drivers who share them now, with their gates."""
    heads = await routes.active(conn, company_id, now=now)
    drivers = sorted({head.driver_id for head in heads if head.driver_id is not None})
    if not drivers:
        return []
    known = {gate.driver_id: gate for gate in await gates.read_some(conn, company_id, drivers)}
    return [
        (head, gate)
        for head in heads
        if head.driver_id is not None
        and (gate := known.get(head.driver_id)) is not None
        and gate.since(Purpose.PLAN_FACT, now) is not None
    ]


async def _more(
    conn: Connection, company_id: UUID, known: Sequence[_Held], *, now: datetime
) -> list[_More]:
    """Read what came of these routes since the last refresh, in three statements for all."""
    if not known:
        return []
    drivers = [held.gate.driver_id for held in known]
    apart = await store.set_apart_before(conn, company_id, drivers)
    since = [max(held.since, apart.get(held.gate.driver_id, held.since)) for held in known]
    windows = await gates.windows_of(conn, company_id, drivers, since=min(since), until=now)
    found: dict[UUID, list[SealedChunk]] = {}
    for driver_id, chunk in await store.fresh(
        conn,
        company_id,
        drivers,
        since,
        stored_after=min(held.read_at for held in known) - COMMITS_WITHIN,
        until=now + COMMITS_WITHIN,
    ):
        found.setdefault(driver_id, []).append(chunk)
    return [
        _More(
            held=replace(held, since=begin),
            windows=within(windows.get(held.gate.driver_id, ()), begin),
            chunks=found.get(held.gate.driver_id, ()),
        )
        for held, begin in zip(known, since, strict=True)
    ]


def _advanced(
    more: Sequence[_More], keys: Mapping[UUID, DataKey], now: datetime
) -> list[_Held | None]:
    """Return the routes with what came since; None for one that has to be begun again."""
    found: list[_Held | None] = []
    for one in more:
        try:
            found.append(_one_further(one, keys, now))
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("route_lost", company=str(one.held.gate.company_id), **where(error))
            found.append(None)
    return found


def _one_further(more: _More, keys: Mapping[UUID, DataKey], now: datetime) -> _Held:
    held = more.held
    fixes = tracking.opened(
        SealedTrack(
            gate=held.gate,
            since=held.since,
            until=now + COMMITS_WITHIN,
            fenced=True,
            availability=Availability.FULL,
            windows=more.windows,
            chunks=[chunk for chunk in more.chunks if chunk.upload_id not in held.seen],
            keys=keys,
        )
    )
    state = live.advance(
        held.state,
        as_geo(fixes),
        shared_s=spans_of(more.windows),
        until_s=now.timestamp(),
    )
    return replace(
        held,
        state=state,
        read_at=now,
        seen=frozenset(chunk.upload_id for chunk in more.chunks),
    )


def _from_the_start(
    found: routes.FoundRoute, track: SealedTrack, head: RouteHead, begin: datetime, now: datetime
) -> _Held:
    route = routes.opened(found)
    given_late = head.taken_over or head.begins_at > head.starts_at
    fixes = tracking.opened(track)
    state = live.advance(
        live.begin(
            routes.geo_plan(route.plan),
            own=OwnTime(
                from_s=begin.timestamp(),
                taken_over_s=head.begins_at.timestamp() if given_late else None,
            ),
        ),
        as_geo(fixes),
        shared_s=spans_of(within(fixes.windows, track.since)),
        until_s=now.timestamp(),
    )
    return _Held(
        head=head,
        gate=track.gate,
        since=track.since,
        stop_ids=tuple(stop.stop_id for stop in route.plan.stops),
        state=state,
        read_at=now,
        seen=frozenset(chunk.upload_id for chunk in track.chunks),
    )
