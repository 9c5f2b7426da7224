"""What one process runs: the whole server, or the part of it that a supervisor asked for."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from aiohttp import web

from server import databases
from server.accounts import service as accounts
from server.accounts.model import CompanyMissing, Locale, NewMember
from server.app import create_app, create_ops_app
from server.audit.command import SOUND, verify_all
from server.background import jobs_of, rekeyer_of
from server.backups import fence
from server.connections import PoolSizes
from server.consent import service as consent
from server.credentials.model import Role
from server.databases import Databases, Opened, Say
from server.idle.service import set_idle_days
from server.journal import service as journal
from server.journal.service import Journal
from server.kit import db, jobs
from server.kit.http_connection import Limits
from server.kit.http_server import Address, listening
from server.kit.neighbours import Neighbours
from server.kit.ops import METRICS, Metrics
from server.kit.web import Clock, utc_now
from server.ledger.model import Actor, ActorKind
from server.policies import service as policies
from server.rekeying import command as keys
from server.retention import command as retention
from server.retention.plans import set_plan_days
from server.retention.service import refuse_other_time, set_track_days
from server.settings import Settings

COLLECT_AFTER: Final = (50_000, 20, 50)
"""New objects, then young and middle collections (Python begins with 700, 10, 10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    address: Address
    ops_address: Address
    opened: Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A worker, or the job runner: what it works with, and what it counts."""

    opened: Opened
    metrics: Metrics
    neighbours: Neighbours


@asynccontextmanager
async def server(
    settings: Settings, dsns: Databases, *, clock: Clock = utc_now, say: Say
) -> AsyncGenerator[Running]:
    """Serve for as long as the block lasts; ends cleanly when it does.

    Raises
    ------
    KekUnusable, SchemaUnreadable, Behind, StorageMoved, CannotListen, ParserUnsafe
    """
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(databases.opened(dsns, settings, now=clock()))
        await refuse_unfit(opened, dsns, settings)
        app = create_app(settings, opened, clock=clock)
        address = await stack.enter_async_context(_answering(app, settings))
        ops_address = await stack.enter_async_context(
            listening(create_ops_app(app, opened), host=settings.ops_host, port=settings.ops_port)
        )
        await stack.enter_async_context(jobs.running(dsns.main, jobs_of(opened, settings, clock)))
        settle()
        say(f"Serving on {address.url} (health and metrics on {ops_address.url}).")
        yield Running(address=address, ops_address=ops_address, opened=opened)


@asynccontextmanager
async def worker(
    settings: Settings, dsns: Databases, sizes: PoolSizes, *, clock: Clock = utc_now
) -> AsyncGenerator[Part]:
    """Answer requests on a port that other workers share, for as long as the block lasts.

    Raises
    ------
    KekUnusable, CannotListen, ParserUnsafe
    """
    async with databases.opened(dsns, settings, now=clock(), sizes=sizes) as opened:
        neighbours = Neighbours()
        app = create_app(settings, opened, clock=clock, neighbours=neighbours)
        async with _answering(app, settings, is_shared=True):
            settle()
            yield Part(opened=opened, metrics=app[METRICS], neighbours=neighbours)


@asynccontextmanager
async def job_runner(
    settings: Settings, dsns: Databases, sizes: PoolSizes, *, clock: Clock = utc_now
) -> AsyncGenerator[Part]:
    """Run jobs, and answer no requests, for as long as the block lasts.

    Raises
    ------
    KekUnusable
    """
    async with (
        databases.opened(dsns, settings, now=clock(), sizes=sizes) as opened,
        jobs.running(dsns.main, jobs_of(opened, settings, clock)),
    ):
        yield Part(opened=opened, metrics=Metrics(), neighbours=Neighbours())


def settle() -> None:
    """Keep the garbage collector from looking again and again at what was made to stay.

    Uploads leave no cycles behind: to look seldom saves a twentieth of their processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def limits_of(settings: Settings) -> Limits:
    """Return what one process lets callers take: what is said for all workers, divided."""
    whole = Limits()
    return replace(
        whole,
        connections_max=-(-whole.connections_max // settings.workers),
        connections_per_address_max=-(-settings.connections_per_address_max // settings.workers),
    )


def _answering(
    app: web.Application, settings: Settings, *, is_shared: bool = False
) -> AbstractAsyncContextManager[Address]:
    return listening(
        app,
        host=settings.host,
        port=settings.port,
        limits=limits_of(settings),
        is_shared=is_shared,
        count_refused=app[METRICS].count_refused,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCompany:
    """What its operator says of a company."""

    name: str
    time_zone: str
    main_user_name: str
    main_user_email: str
    business_number: str | None = None
    privacy_contact: str | None = None
    erasure_grace: timedelta


async def create_company(
    settings: Settings, dsns: Databases, company: NewCompany, *, now: datetime
) -> tuple[str, datetime]:
    """Make a company; return its main user's invitation code and when that expires.

    Its policies are there with it: a consent names who asks for it, and the text that was shown.

    Raises
    ------
    Behind
    """
    async with opened_to_write(dsns, settings, now=now) as opened:
        made, invitation = await accounts.create_company(
            opened.pool,
            opened.vault,
            name=company.name,
            time_zone=company.time_zone,
            main_user=NewMember(
                role=Role.MAIN_USER,
                name=company.main_user_name,
                email=company.main_user_email,
                phone=None,
                locale=Locale.RU,
            ),
            erasure_grace_s=int(company.erasure_grace.total_seconds()),
            now=now,
        )
        async with db.tenant(opened.pool, made.company_id) as conn:
            await policies.set_controller(
                conn,
                made.company_id,
                business_number=company.business_number,
                privacy_contact=company.privacy_contact,
                now=now,
            )
            await policies.ship(conn, made.company_id, now)
            await consent.settle_storage(conn, made.company_id, settings.storage_country)
    return invitation.code, invitation.expires_at


class LedgerBroken(Exception):
    """``str`` is one sentence for a person; the lines before it say which and where."""


async def verify_ledgers(
    settings: Settings, dsns: Databases, *, company_id: UUID | None, say: Say
) -> None:
    """Check the ledger of one company, or of all; ``say`` hears a line about each.

    Raises
    ------
    CompanyMissing, LedgerBroken
    """
    async with databases.opened(dsns, settings, now=utc_now()) as opened:
        found = await companies(dsns, company_id)
        # A ledger of nobody would be sound; one that `keys` alone has heard of is not.
        heard_of = {*await companies(dsns), *await journal.companies(opened.keys_pool)}
        if company_id is not None and company_id not in heard_of:
            raise CompanyMissing
        status = await verify_all(
            opened.pool, opened.keys_pool, opened.vault, found, say=say, now=utc_now()
        )
    if status != SOUND:
        raise LedgerBroken("The ledger is not what was written.")


async def forget_old(
    settings: Settings,
    dsns: Databases,
    *,
    company_id: UUID | None,
    dry_run: bool,
    say: Say,
    clock: Clock = utc_now,
) -> None:
    """Remove what one company, or each, kept long enough, or only tell what that is.

    Raises
    ------
    CompanyMissing, ClocksApart, Behind
    """
    if dry_run:
        async with databases.opened(dsns, settings, now=utc_now()) as opened:
            found = await companies(dsns, company_id)
            await retention.tell_due(opened.pool, opened.vault, found, say=say, now=clock())
        return
    async with opened_to_write(dsns, settings, now=utc_now()) as opened:
        found = await companies(dsns, company_id)
        for one in found:
            await refuse_other_time(opened.pool, one, clock())
        await retention.run_now(dsns.main, opened.pool, opened.vault, found, say=say, now=clock())


async def rotate_keys(
    settings: Settings, dsns: Databases, *, stop: asyncio.Event, say: Say, clock: Clock = utc_now
) -> None:
    """Exchange every key above the persons' own; goes on with one that is under way.

    Raises
    ------
    KekUnusable, Behind
    """
    async with opened_to_write(dsns, settings, now=clock()) as opened:
        rekeyer = rekeyer_of(opened, asyncio.Semaphore(1))
        await keys.exchange_now(rekeyer, stop=stop, clock=clock, say=say)


async def keep_tracks(
    settings: Settings, dsns: Databases, *, company_id: UUID, days: int
) -> int | None:
    """Let a company's tracks be kept for so many days; return how many it was.

    Raises
    ------
    CompanyMissing, TrackDaysInvalid, TrackDaysPromised, Behind
    """
    async with opened_to_write(dsns, settings, now=utc_now()) as opened:
        operator = Actor(kind=ActorKind.OPERATOR)
        async with db.tenant(opened.pool, company_id) as conn:
            before = await set_track_days(conn, company_id, days, actor=operator, now=utc_now())
        # Said to be so, it is undone by no backup: with no server running nobody else copies it.
        await Journal(opened.pool, opened.keys_pool).copy(company_id, utc_now())
        return before


async def keep_plans(
    settings: Settings, dsns: Databases, *, company_id: UUID, days: int
) -> int | None:
    """Let a company's plans be kept for so many days; return how many it was.

    Raises
    ------
    CompanyMissing, PlanDaysInvalid, Behind
    """
    async with opened_to_write(dsns, settings, now=utc_now()) as opened:
        operator = Actor(kind=ActorKind.OPERATOR)
        async with db.tenant(opened.pool, company_id) as conn:
            before = await set_plan_days(conn, company_id, days, actor=operator, now=utc_now())
        # Said to be so, it is undone by no backup: with no server running nobody else copies it.
        await Journal(opened.pool, opened.keys_pool).copy(company_id, utc_now())
        return before


async def keep_unused(settings: Settings, dsns: Databases, *, company_id: UUID, days: int) -> int:
    """Let a company's accounts be switched off after so many days unused; return how many it was.

    Raises
    ------
    CompanyMissing, IdleDaysInvalid, Behind
    """
    async with (
        opened_to_write(dsns, settings, now=utc_now()) as opened,
        db.tenant(opened.pool, company_id) as conn,
    ):
        operator = Actor(kind=ActorKind.OPERATOR)
        return await set_idle_days(conn, company_id, days, actor=operator, now=utc_now())


async def refuse_unfit(opened: Opened, dsns: Databases, settings: Settings) -> None:
    """Refuse to serve on databases that were restored and not reconciled, may not, or have moved.

    Raises
    ------
    SchemaUnreadable, Behind, StorageMoved
    """
    await databases.refuse_ungranted(dsns)
    await _refuse_behind(opened, dsns)
    await databases.refuse_moved(opened, settings.storage_country)


@asynccontextmanager
async def opened_to_write(
    dsns: Databases, settings: Settings, *, now: datetime
) -> AsyncGenerator[Opened]:
    """Open both databases for a command that writes to `main`, unless they are of two moments.

    What is written to a restored `main` before it is reconciled takes the places in the ledger of
    what was lost: that would be another history, and no backup any more.

    Raises
    ------
    KekUnusable, Behind
    """
    async with databases.opened(dsns, settings, now=now) as opened:
        await _refuse_behind(opened, dsns)
        yield opened


async def _refuse_behind(opened: Opened, dsns: Databases) -> None:
    there = await companies(dsns)
    await fence.refuse_behind(opened.pool, opened.keys_pool, opened.vault, there)


async def companies(dsns: Databases, company_id: UUID | None = None) -> list[UUID]:
    """Return the company that was named, or all of them."""
    if company_id is not None:
        return [company_id]
    conn = await db.connect(dsns.main, role=db.ROLE_JOBS)
    try:
        return await accounts.every_company(conn)
    finally:
        await conn.close()
