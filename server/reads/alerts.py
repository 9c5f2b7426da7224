"""Viewers who look at many drivers, or for drivers who are not there: told once an hour."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, Json
from server.reads import store
from server.reads.model import BUCKET, ReadPurpose, Screen, bucket_of

BULK_SCREENS: Final = frozenset(
    {
        Screen.TRACK,
        Screen.ROUTE_REPORT,
        Screen.REPORT_SUMMARY,
        Screen.EXPORT,
        Screen.AREA_SEARCH,
    }
)
"""Where a driver's past is looked at. The map shows everybody as they are, a link only one."""
WITHIN: Final = timedelta(hours=1)
"""What is counted together, and how long a viewer then raises no other alert of the kind."""


class AlertKind(StrEnum):
    BULK_READ = "bulk_read"
    """More drivers than the company takes for normal."""
    UNKNOWN_IDS = "unknown_ids"
    """Many ids that do not exist: somebody may be trying them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    kind: AlertKind
    viewer: Actor
    count: int
    """Of different drivers, or of ids."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A look that was just written down."""

    viewer: Actor
    viewer_id: UUID
    """How the ledger names them."""
    purpose: ReadPurpose
    screen: Screen
    at: datetime


Tell: TypeAlias = Callable[[Connection, UUID, Alert], Awaitable[None]]
"""Tells whom it concerns, in the same transaction; what it raises undoes that."""


async def raise_bulk_reads(
    conn: Connection, company_id: UUID, looks: Iterable[Counted], tell: Tell
) -> None:
    """Raise an alert for each of these viewers who looked at too many drivers.

    The last thing its transaction does. All alerts are claimed, in one order, before the head of
    the ledger is held: so two processes wait for each other only one way.
    """
    latest = {
        (look.viewer.kind.value, look.viewer_id): look
        for look in looks
        if look.screen in BULK_SCREENS
    }
    raised: list[tuple[Alert, dict[str, Json]]] = []
    for (kind, viewer_id), look in sorted(latest.items(), key=lambda one: one[0]):
        since = look.at - WITHIN
        drivers, most = await store.drivers_looked_at(
            conn,
            company_id,
            kind,
            viewer_id,
            screens=[one.value for one in BULK_SCREENS],
            buckets=_buckets(since, look.at),
            since=since,
        )
        if drivers > most and await store.claim_alert(
            conn,
            company_id,
            AlertKind.BULK_READ.value,
            kind,
            viewer_id,
            at=look.at,
            quiet_since=since,
        ):
            alert = Alert(kind=AlertKind.BULK_READ, viewer=look.viewer, count=drivers, at=look.at)
            where = {"purpose": look.purpose.value, "screen": look.screen.value}
            raised.append((alert, {"drivers": drivers, **where}))
    for alert, _ in raised:
        await tell(conn, company_id, alert)
    for alert, facts in raised:
        await ledger.append(
            conn,
            company_id,
            Act.BULK_READ_ALERT,
            actor=alert.viewer,
            subject_id=None,
            facts=facts,
            now=alert.at,
        )


async def raise_unknown_ids(
    conn: Connection, company_id: UUID, viewer: Actor, count: int, tell: Tell, now: datetime
) -> None:
    """Raise an alert for a viewer who asked for so many ids that do not exist.

    The last thing its transaction does.
    """
    viewer_id = viewer.reference_id
    if viewer.member_id is not None:
        known = await ledger.pseudonyms(conn, company_id, [viewer.member_id], now)
        viewer_id = known[viewer.member_id].pseudonym
    if viewer_id is None or not await store.claim_alert(
        conn,
        company_id,
        AlertKind.UNKNOWN_IDS.value,
        viewer.kind.value,
        viewer_id,
        at=now,
        quiet_since=now - WITHIN,
    ):
        return
    await tell(
        conn,
        company_id,
        Alert(kind=AlertKind.UNKNOWN_IDS, viewer=viewer, count=count, at=now),
    )
    await ledger.append(
        conn,
        company_id,
        Act.UNKNOWN_IDS_ALERT,
        actor=viewer,
        subject_id=None,
        facts={"ids": count},
        now=now,
    )


def _buckets(since: datetime, until: datetime) -> list[datetime]:
    """Return the buckets in which a look of that time may stand: a late one is in the next."""
    last = bucket_of(until) + BUCKET
    return [last - BUCKET * back for back in range(int((last - bucket_of(since)) / BUCKET) + 1)]
