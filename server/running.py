"""A running server: pools, vault, the application on its port, the ops port, the jobs."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from server import databases
from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember, Role
from server.app import create_app, create_ops_app, jobs_of
from server.databases import Databases, Opened, Say
from server.kit import jobs
from server.kit.http_connection import Limits
from server.kit.http_server import Address, listening
from server.kit.ops import METRICS
from server.kit.web import Clock, utc_now
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
    KekUnusable, CannotListen, ParserUnsafe
    """
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(databases.opened(dsns, settings, now=clock()))
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
        await stack.enter_async_context(jobs.running(dsns.main, jobs_of(opened, clock)))
        say(f"Serving on {address.url} (health and metrics on {ops_address.url}).")
        yield Running(address=address, ops_address=ops_address, opened=opened)


async def create_company(
    settings: Settings,
    dsns: Databases,
    *,
    name: str,
    time_zone: str,
    main_user_name: str,
    main_user_email: str,
    erasure_grace: timedelta,
    now: datetime,
) -> tuple[str, datetime]:
    """Make a company; return its main user's invitation code and when that expires."""
    async with databases.opened(dsns, settings, now=now) as opened:
        _, invitation = await accounts.create_company(
            opened.pool,
            opened.vault,
            name=name,
            time_zone=time_zone,
            main_user=NewMember(
                role=Role.MAIN_USER,
                name=main_user_name,
                email=main_user_email,
                phone=None,
                locale=Locale.RU,
            ),
            erasure_grace_s=int(erasure_grace.total_seconds()),
            now=now,
        )
    return invitation.code, invitation.expires_at
