"""``jolda retention``: what would go, or goes now, company by company."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID

from server.alerts import service as alerts
from server.disclosures import service as disclosures
from server.exports import service as exports
from server.incidents import service as incidents
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
Told: TypeAlias = tuple[str, int, date | None]
"""Of what, how many, and since when the oldest of them is there."""


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
        retention="exports",
        of="packages of drivers' own data",
        old=exports.old,
        forget=exports.forget_old,
    ),
    Kind(
        retention="links",
        of="links of customers",
        old=links.ended,
        forget=_at_once(links.forget_ended),
    ),
    Kind(
        retention="disclosures",
        of="disclosures",
        old=disclosures.old,
        forget=disclosures.forget_old,
    ),
    Kind(
        retention="incidents",
        of="incidents",
        old=incidents.old,
        forget=incidents.forget_old,
    ),
    Kind(
        retention="plan_days",
        of="plans of routes",
        old=plans.old,
        forget=_at_once(plans.forget_old),
    ),
)
EXPORT_KEYS: Final = "keys of days of packages"
READS: Final = "entries of reads, of five minutes each"
TOLD: Final = frozenset({"track_days", "keys", "reads", *(kind.retention for kind in KINDS)})
"""Of everything that has an age at which it goes."""


async def tell_due(
    pool: Pool, vault: Vault, companies: Sequence[UUID], *, say: Say, now: datetime
) -> None:
    """Tell what a run would remove; nothing is changed."""
    for company_id in companies:
        async with db.tenant(pool, company_id, readonly=True) as conn:
            gone = await service.due(conn, vault, company_id, now)
            found = [(kind.of, *await kind.old(conn, company_id, now)) for kind in KINDS]
            found.append((READS, *await old_reads(conn, company_id, now)))
        live = await vault.count_live(company_id, now)
        found.append((EXPORT_KEYS, await exports.old_keys(vault, company_id, now), None))
        _tell(company_id, "would go", [*_of_tracks(gone, live), *found], say=say)
    say("Nothing was changed. To remove what would go, run: jolda retention")


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
        found: list[Told] = [
            (kind.of, await kind.forget(pool, company_id, now), None) for kind in KINDS
        ]
        live = await vault.destroy_live(company_id, now)
        found.append((EXPORT_KEYS, await exports.forget_keys(vault, company_id, now), None))
        found.append((READS, await forget_old_reads(dsn, company_id, now), None))
        _tell(company_id, "went", [*_of_tracks(gone, live), *found], say=say)


def _of_tracks(gone: Gone, live: int) -> Sequence[Told]:
    return (
        ("positions", gone.positions, gone.oldest_at),
        ("rows of positions", gone.track_rows, gone.oldest_at),
        ("keys of drivers' months", gone.months, None),
        ("keys of days of live positions", live, None),
        ("counters of refusals", gone.counters, gone.oldest_day),
    )


def _tell(company_id: UUID, went: str, told: Sequence[Told], *, say: Say) -> None:
    """Tell of each kind of which there is some; of one company of many mostly nothing is due."""
    some = [(of, count, oldest) for of, count, oldest in told if count]
    if not some:
        say(f"{company_id}: nothing is old enough to go.")
    for of, count, oldest in some:
        since = "" if oldest is None else f" (since {oldest:%Y-%m-%d})"
        say(f"{company_id}: {of}: {count}{since} {went}.")
