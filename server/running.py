"""A running server: pools, vault, the application on its port, the ops port, the jobs."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from server import databases
from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.app import create_app, create_ops_app
from server.audit.command import SOUND, verify_all
from server.background import jobs_of
from server.consent import service as consent
from server.credentials.model import Role
from server.databases import Databases, Opened, Say
from server.kit import db, jobs
from server.kit.http_connection import Limits
from server.kit.http_server import Address, listening
from server.kit.ops import METRICS
from server.kit.web import Clock, utc_now
from server.policies import service as policies
from server.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    address: Address
    ops_address: Address
    opened: Opened


@asynccontextmanager
async def server(
    settings: Settings, dsns: Databases, *, clock: Clock = utc_now, say: Say
) -> AsyncGenerator[Running]:
    """Serve for as long as the block lasts; ends cleanly when it does.

    Raises
    ------
    KekUnusable, StorageMoved, CannotListen, ParserUnsafe
    """
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(databases.opened(dsns, settings, now=clock()))
        await databases.refuse_moved(opened, settings.storage_country)
        app = create_app(settings, opened, clock=clock)
        limits = Limits(connections_per_address_max=settings.connections_per_address_max)
        address = await stack.enter_async_context(
            listening(
                app,
                host=settings.host,
                port=settings.port,
                limits=limits,
                count_refused=app[METRICS].count_refused,
            )
        )
        ops_address = await stack.enter_async_context(
            listening(create_ops_app(app, opened), host=settings.ops_host, port=settings.ops_port)
        )
        await stack.enter_async_context(jobs.running(dsns.main, jobs_of(opened, settings, clock)))
        say(f"Serving on {address.url} (health and metrics on {ops_address.url}).")
        yield Running(address=address, ops_address=ops_address, opened=opened)


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
    """
    async with databases.opened(dsns, settings, now=now) as opened:
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
    LedgerBroken
    """
    async with databases.opened(dsns, settings, now=utc_now()) as opened:
        companies = [] if company_id is None else [company_id]
        if company_id is None:
            conn = await db.connect(dsns.main, role=db.ROLE_JOBS)
            try:
                companies = await accounts.every_company(conn)
            finally:
                await conn.close()
        status = await verify_all(opened.pool, opened.vault, companies, say=say, now=utc_now())
    if status != SOUND:
        raise LedgerBroken("The ledger is not what was written.")
