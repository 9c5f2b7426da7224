"""What is done without a caller: queued jobs, and what is due each minute or day.

With app.py the only module that knows every feature. Each piece of work is of one company at a
time, and one that fails does not hold up the others.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.accounts.sealing import reindex as reindex_logins
from server.alerts import service as alerts
from server.certificates import service as certificates
from server.closure import service as closure
from server.consent import expiry
from server.consent import service as consent
from server.consent.acts import message_consents
from server.controllers import transfer
from server.corrections import service as corrections
from server.databases import Opened
from server.delivery.deliverer import Deliverer
from server.delivery.ports import ports_of
from server.disclosures import service as disclosures
from server.erasure import saga
from server.erasure.service import ERASE_DUE
from server.erasure_decisions import clock as erasure_clock
from server.exports import making
from server.exports import service as exports
from server.exports.service import MAKE_EXPORTS
from server.gate import service as gate
from server.holds import service as holds
from server.idle import service as idle
from server.incidents import service as incidents
from server.incidents import telling
from server.journal.service import Journal
from server.kit import db
from server.kit.jobs import Jobs, Payload, Tick
from server.kit.problem import where
from server.kit.web import Clock
from server.ledger import service as ledger
from server.life import service as life
from server.links import arrivals
from server.links import service as links
from server.notices.service import DELIVER_NOTICE
from server.passwords import resetting
from server.person_requests import service as person_requests
from server.policies import service as policies
from server.policies.model import Edition
from server.reads import retention
from server.reads import service as reads
from server.rekeying import service as rekeying
from server.rekeying.service import KeysHeld, Rekeyer
from server.reports import final
from server.reports import service as reports
from server.reports.refresh import LiveRoutes
from server.retention import plans
from server.retention.service import forget_due, refuse_other_time
from server.rights.service import tell_of_alert
from server.settings import Settings
from server.shifts import service as shifts
from server.stop_events import service as stop_events
from server.taking_back import service as taking_back
from server.taking_back.service import TAKE_BACK_NOTICES
from server.track_deletion import service as track_deletion
from server.tracking import compaction
from server.tracking import service as tracking
from server.vault.service import Vault
from server.winding_up import service as winding_up

log = structlog.get_logger(__name__)

ASKING_MAX: Final = 4
"""Connections with which the works ask at once for the companies: all are due in one second."""
HALF_A_MINUTE_S: Final = 30.0
TURNS_S_MAX: Final = 300.0
"""How long companies take turns: half of the ten minutes after which they may again."""

HELD_MAX: Final = 10
"""So many minutes in a row the keys may be held by somebody: after as many it is told."""

Work: TypeAlias = Callable[[UUID, datetime], Awaitable[object]]
Turn: TypeAlias = Callable[[UUID, datetime], Awaitable[int]]
"""A part of a piece of work, so large that others are not held up; returns how much was done."""
Statements: TypeAlias = Callable[[db.Connection, UUID, datetime], Awaitable[object]]

# One transaction each, its ledger entries last.
IN_TRANSACTIONS: Final[Mapping[str, Statements]] = {
    "close_read_buckets": reads.close_buckets,
    "end_forgotten_shifts": shifts.end_forgotten,
    "end_reading": life.end_reading,
    "remind_of_closing": closure.remind,
    "remind_of_shifts": shifts.remind,
    "ship_editions": policies.ship,
    "sweep_gate_closings": gate.sweep_closings,
    "sweep_latest_positions": tracking.sweep_latest,
    "tell_of_disclosures": disclosures.tell_unsealed,
    "tell_of_incidents": telling.tell_affected,
    "watch_incidents": telling.watch_clocks,
    "tell_of_person_requests": person_requests.tell_due,
    "tell_of_editions": policies.tell_newcomers,
}


def jobs_of(opened: Opened, settings: Settings, clock: Clock) -> Jobs:
    """Return the work of this process."""
    pool, vault = opened.pool, opened.vault
    ports = ports_of(settings.smtp, settings.sms, settings.push)
    deliverer = Deliverer(pool, vault, ports, consents=message_consents, clock=clock)
    looks = reads.Reads(pool, tell_of_alert)

    async def erase_due(payload: Payload) -> None:
        await saga.run_due(
            pool, vault, UUID(payload["company_id"]), clock(), tell=deliverer.deliver_to
        )

    async def deliver_notice(payload: Payload) -> None:
        ids = UUID(payload["company_id"]), UUID(payload["notice_id"])
        await deliverer.deliver(*ids, clock())

    works: Mapping[str, Work] = {
        **{name: partial(_in_transaction, pool, work) for name, work in IN_TRANSACTIONS.items()},
        "apply_editions": partial(_apply_editions, pool),
        "close_company": partial(winding_up.run_due, pool),
        "copy_journal": Journal(pool, opened.keys_pool).copy,
        "change_controllers": partial(transfer.run_due, pool),
        "deliver_notices": deliverer.deliver_due,
        "destroy_live_keys": vault.destroy_live,
        "enrol_in_ledger": partial(ledger.enrol_missing, pool, vault),
        "decide_by_clock": partial(erasure_clock.run_due, pool),
        "end_holds": partial(holds.run_due, pool),
        "erase_due": partial(saga.run_due, pool, vault, tell=deliverer.deliver_to),
        "expire_consents": partial(expiry.expire_due, pool),
        "finish_track_deletions": partial(track_deletion.finish_due, opened.dsn, pool, vault),
        "issue_certificates": partial(certificates.issue_due, pool, opened.keys_pool, vault),
        "go_on_with_exports": partial(_go_on_with_exports, pool, vault, clock),
        "keep_checkpoints": partial(ledger.keep_checkpoint, pool, vault),
        "note_arrivals": partial(arrivals.note_due, pool, vault, looks),
    }
    turns: Mapping[str, Turn] = {
        "compact_tracks": partial(compaction.compact_due, opened.dsn, pool, vault),
        "finish_reports": partial(final.finish_due, pool, vault, looks),
    }
    follow = partial(_follow_routes, pool, vault, LiveRoutes(pool, vault, looks))
    asking = asyncio.Semaphore(ASKING_MAX)
    each = partial(each_company, opened.dsn, clock, asking)
    return Jobs(
        queued={
            ERASE_DUE: erase_due,
            DELIVER_NOTICE: deliver_notice,
            MAKE_EXPORTS: partial(_make_exports, pool, vault, clock),
            TAKE_BACK_NOTICES: partial(taking_back.take_back_sent, pool),
        },
        every_minute={
            **{name: partial(each, name, work) for name, work in works.items()},
            **{
                name: partial(in_turns, opened.dsn, clock, asking, name, turn)
                for name, turn in turns.items()
            },
            "rekey": partial(_rekey, opened, settings.rekey_every, clock, asking, Patience()),
            "follow_routes": partial(
                twice, partial(each, "follow_routes", follow), apart_s=HALF_A_MINUTE_S
            ),
        },
        every_day={name: partial(each, name, work) for name, work in _daily(opened, looks).items()},
    )


def rekeyer_of(opened: Opened, asking: asyncio.Semaphore) -> Rekeyer:
    """Return what exchanges the keys, with the log-ins of every company."""

    async def reindex() -> None:
        await opened.vault.renew()
        for company_id in await _every_company(opened.dsn, asking):
            await reindex_logins(opened.pool, opened.vault, company_id)

    return Rekeyer(
        keys_dsn=opened.keys_dsn,
        keks=opened.vault.keks,
        reindex=reindex,
        monotonic=time.monotonic,
    )


@dataclass(slots=True)
class Patience:
    """How often in a row the keys could not be exchanged because somebody held them."""

    held: int = 0


async def _rekey(
    opened: Opened,
    every: timedelta,
    clock: Clock,
    asking: asyncio.Semaphore,
    patience: Patience,
) -> None:
    try:
        await rekeying.run_due(rekeyer_of(opened, asking), every=every, now=clock())
    except KeysHeld as error:
        # Whoever makes a key holds them for an instant. Who holds them on and on stands still.
        patience.held += 1
        if patience.held % HELD_MAX == 0:
            log.warning("job_failed", job="rekey", count=patience.held, **where(error))
        return
    except Exception as error:  # noqa: BLE001 - the next minute may do
        log.warning("job_failed", job="rekey", **where(error))
    patience.held = 0


async def twice(tick: Tick, *, apart_s: float) -> None:
    """Do it, and again so much after it began; at once, if it took that long."""
    monotonic = asyncio.get_running_loop().time
    again_at = monotonic() + apart_s
    await tick()
    await asyncio.sleep(max(again_at - monotonic(), 0.0))
    await tick()


async def each_company(
    dsn: str, clock: Clock, asking: asyncio.Semaphore, name: str, work: Work
) -> None:
    """Do one piece of work for every company."""
    for company_id in await _every_company(dsn, asking):
        try:
            await work(company_id, clock())
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("job_failed", job=name, company=str(company_id), **where(error))


async def in_turns(
    dsn: str,
    clock: Clock,
    asking: asyncio.Semaphore,
    name: str,
    turn: Turn,
    *,
    seconds_max: float = TURNS_S_MAX,
) -> None:
    """Let companies take turns until none has anything left to do, or the time is up.

    All turns are of the moment at which this began, however many companies came before. Who comes
    first is drawn, for the time may be up before each had a turn. Who fails has no other one. What
    is left waits for the next time.
    """
    now, monotonic = clock(), asyncio.get_running_loop().time
    over_at = monotonic() + seconds_max
    companies = await _every_company(dsn, asking)
    waiting = deque(random.sample(companies, k=len(companies)))
    while waiting and monotonic() < over_at:
        company_id = waiting.popleft()
        try:
            if await turn(company_id, now):
                waiting.append(company_id)
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("job_failed", job=name, company=str(company_id), **where(error))


async def _every_company(dsn: str, asking: asyncio.Semaphore) -> list[UUID]:
    async with asking:
        conn = await db.connect(dsn, role=db.ROLE_JOBS)
        try:
            return await accounts.every_company(conn)
        finally:
            await conn.close()


async def _in_transaction(pool: db.Pool, work: Statements, company_id: UUID, now: datetime) -> None:
    async with db.tenant(pool, company_id) as conn:
        await work(conn, company_id, now)


def _daily(opened: Opened, looks: reads.Reads) -> Mapping[str, Work]:
    """Return what is due once a day."""
    pool, vault = opened.pool, opened.vault
    forgetting: Mapping[str, Work] = {
        "forget_alerts": partial(alerts.forget_old, pool),
        "forget_disclosures": partial(disclosures.forget_old, pool),
        "forget_incidents": partial(incidents.forget_old, pool),
        "forget_exports": partial(_forget_exports, pool, vault),
        "forget_links": partial(_in_transaction, pool, links.forget_ended),
        "forget_reports": partial(_in_transaction, pool, reports.forget_old),
        "forget_stop_events": partial(stop_events.forget_old, pool),
    }
    return {
        "forget_contact_changes": partial(_in_transaction, pool, corrections.forget_waiting),
        "forget_password_resets": partial(_in_transaction, pool, resetting.forget),
        "finish_missed_reports": partial(final.finish_missed, pool, vault, looks),
        "forget_old_reads": partial(retention.forget_old_reads, opened.dsn),
        "forget_old_tracks": partial(forget_due, pool, vault),
        "forget_plans": partial(plans.forget_due, pool),
        "look_after_unused_accounts": partial(idle.look_after, pool),
        "tell_of_expiring_consents": partial(_in_transaction, pool, expiry.tell_expiring),
        **{name: partial(_by_mains_clock, pool, work) for name, work in forgetting.items()},
    }


async def _forget_exports(pool: db.Pool, vault: Vault, company_id: UUID, now: datetime) -> None:
    await exports.forget_old(pool, company_id, now)
    await exports.forget_keys(vault, company_id, now)


async def _by_mains_clock(pool: db.Pool, work: Work, company_id: UUID, now: datetime) -> None:
    """Remove what is old only by a clock that is right: nothing of it comes back."""
    await refuse_other_time(pool, company_id, now)
    await work(company_id, now)


async def _make_exports(pool: db.Pool, vault: Vault, clock: Clock, payload: Payload) -> None:
    await making.make_due(pool, vault, UUID(payload["company_id"]), clock)


async def _go_on_with_exports(
    pool: db.Pool, vault: Vault, clock: Clock, company_id: UUID, _now: datetime
) -> int:
    """Make what a crash cut off, by the clock as it runs: one package may take minutes."""
    return await making.make_due(pool, vault, company_id, clock)


async def _follow_routes(
    pool: db.Pool, vault: Vault, live_routes: LiveRoutes, company_id: UUID, now: datetime
) -> None:
    """See how the routes under way stand, and raise what is to be told of them."""
    refreshed = await live_routes.refresh(company_id, now=now)
    await alerts.judge_all(pool, vault, company_id, refreshed, now=now)


async def _apply_editions(pool: db.Pool, company_id: UUID, now: datetime) -> None:
    """Suspend what a new edition asks for beyond what was agreed to, driver by driver."""

    async def supersede(company_id: UUID, driver_id: UUID, edition: Edition, now: datetime) -> None:
        # To stop a driver's uploads for a moment is for those who have something to lose by it.
        async with db.tenant(pool, company_id, readonly=True) as conn:
            if not await consent.is_outdated_by(conn, company_id, driver_id, edition):
                return
        async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
            await consent.supersede(conn, company_id, driver_id, edition, now=now)

    await policies.apply_editions(pool, company_id, now, supersede)
