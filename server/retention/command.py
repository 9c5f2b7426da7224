"""``jolda retention``: what would go, or goes now, company by company."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from uuid import UUID

from server.kit import db
from server.kit.db import Pool
from server.reads.retention import forget_old_reads, old_reads
from server.reports import service as reports
from server.retention import service
from server.retention.model import Gone
from server.tracking import service as tracking
from server.vault.service import Vault

Say = Callable[[str], None]


async def tell_due(
    pool: Pool, vault: Vault, companies: Sequence[UUID], *, say: Say, now: datetime
) -> None:
    """Tell what a run would remove; nothing is changed."""
    for company_id in companies:
        async with db.tenant(pool, company_id, readonly=True) as conn:
            gone = await service.due(conn, vault, company_id, now)
            final, oldest = await reports.old(conn, company_id, now)
            reads, first = await old_reads(conn, company_id, now)
        _tell(company_id, "would go", gone, say=say)
        say(f"{company_id}: {_count(final, 'final reports', oldest)} would go.")
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
        async with db.tenant(pool, company_id) as conn:
            await tracking.sweep_latest(conn, company_id, now)
        gone = await service.forget_old_tracks(pool, vault, company_id, now)
        async with db.tenant(pool, company_id) as conn:
            final = await reports.forget_old(conn, company_id, now)
        reads = await forget_old_reads(dsn, company_id, now)
        _tell(company_id, "went", gone, say=say)
        say(f"{company_id}: {_count(final, 'final reports', None)} went.")
        say(f"{company_id}: {_count(reads, 'five minutes of reads', None)} went.")


def _tell(company_id: UUID, went: str, gone: Gone, *, say: Say) -> None:
    positions = f"{_count(gone.positions, 'positions', gone.oldest_at)} in {gone.track_rows} rows"
    say(f"{company_id}: {positions} {went}.")
    say(f"{company_id}: {gone.months} keys of drivers' months {went}.")
    say(f"{company_id}: {_count(gone.counters, 'counters of refusals', gone.oldest_day)} {went}.")


def _count(count: int, of: str, oldest: date | None) -> str:
    return f"{count} {of}" if oldest is None else f"{count} {of} (since {oldest:%Y-%m-%d})"
