"""``jolda retention``: what would go, or goes now, company by company."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from server.alerts import service as alerts
from server.kit import db
from server.kit.db import Connection, Pool
from server.links import service as links
from server.reads.retention import forget_old_reads, old_reads
from server.reports import service as reports
from server.retention import plans, service
from server.retention.model import Gone
from server.stop_events import service as stop_events
from server.tracking import service as tracking
from server.vault.service import Vault

Say = Callable[[str], None]
Old = Callable[[Connection, UUID, datetime], Awaitable[tuple[int, date | None]]]
Forget = Callable[[Pool, UUID, datetime], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What goes by its age alone."""

    retention: str
    """As the data map calls it."""
    of: str
    old: Old
    forget: Forget


def _at_once(forget: Callable[[Connection, UUID, datetime], Awaitable[int]]) -> Forget:
    """Let it go in one transaction."""

    async def in_transaction(pool: Pool, company_id: UUID, now: datetime) -> int:
        async with db.tenant(pool, company_id) as conn:
            return await forget(conn, company_id, now)

    return in_transaction


# Plans last: all else is of them.
KINDS: Final = (
    Kind(
        retention="latest",
        of="latest positions",
        old=service.old_latest,
        forget=_at_once(tracking.sweep_latest),
    ),
    Kind(retention="alerts", of="alerts", old=alerts.old, forget=alerts.forget_old),
    Kind(
        retention="report_days",
        of="final reports",
        old=reports.old,
        forget=_at_once(reports.forget_old),
    ),
    Kind(
        retention="stop_events",
        of="words of drivers about stops",
        old=stop_events.old,
        forget=stop_events.forget_old,
    ),
    Kind(
        retention="links",
        of="links of customers",
        old=links.ended,
        forget=_at_once(links.forget_ended),
    ),
    Kind(
        retention="plan_days",
        of="plans of routes",
        old=plans.old,
        forget=_at_once(plans.forget_old),
    ),
)
TOLD: Final = frozenset({"track_days", "keys", "reads", *(kind.retention for kind in KINDS)})
"""Of everything that has an age at which it goes."""


async def tell_due(
    pool: Pool, vault: Vault, companies: Sequence[UUID], *, say: Say, now: datetime
) -> None:
    """Tell what a run would remove; nothing is changed."""
    for company_id in companies:
        async with db.tenant(pool, company_id, readonly=True) as conn:
            gone = await service.due(conn, vault, company_id, now)
            found = [(kind.of, await kind.old(conn, company_id, now)) for kind in KINDS]
            reads, first = await old_reads(conn, company_id, now)
        live = await vault.count_live(company_id, now)
        _tell(company_id, "would go", gone, live, say=say)
        for of, (count, oldest) in found:
            say(f"{company_id}: {_count(count, of, oldest)} would go.")
        say(f"{company_id}: {_count(reads, 'five minutes of reads', first)} would go.")


async def run_now(
    dsn: str,
    pool: Pool,
    vault: Vault,
    companies: Sequence[UUID],
    *,
    say: Say,
    now: datetime,
) -> None:
    """Remove what is too old, as the jobs do, and tell what went."""
    for company_id in companies:
        gone = await service.forget_old_tracks(pool, vault, company_id, now)
        found = [(kind.of, await kind.forget(pool, company_id, now)) for kind in KINDS]
        live = await vault.destroy_live(company_id, now)
        reads = await forget_old_reads(dsn, company_id, now)
        _tell(company_id, "went", gone, live, say=say)
        for of, count in found:
            say(f"{company_id}: {_count(count, of, None)} went.")
        say(f"{company_id}: {_count(reads, 'five minutes of reads', None)} went.")


def _tell(company_id: UUID, went: str, gone: Gone, live: int, *, say: Say) -> None:
    positions = f"{_count(gone.positions, 'positions', gone.oldest_at)} in {gone.track_rows} rows"
    say(f"{company_id}: {positions} {went}.")
    say(f"{company_id}: {gone.months} keys of drivers' months {went}.")
    say(f"{company_id}: {live} keys of days of live positions {went}.")
    say(f"{company_id}: {_count(gone.counters, 'counters of refusals', gone.oldest_day)} {went}.")


def _count(count: int, of: str, oldest: date | None) -> str:
    return f"{count} {of}" if oldest is None else f"{count} {of} (since {oldest:%Y-%m-%d})"
