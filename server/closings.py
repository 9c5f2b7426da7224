"""``jolda company close | keep-open``: that a company ends, said long before, and called off.

The operator alone deletes nobody: everybody in the company is told, and until the day a main user
keeps it open as well.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from uuid import UUID

from server import databases, running
from server.accounts import service as accounts
from server.backups.model import counted
from server.closure import service as closure
from server.closure.model import DAYS_MAX, DAYS_MIN, Closing, refuse_days
from server.databases import Databases, Say
from server.kit import db
from server.kit.web import Clock, utc_now
from server.ledger.model import Actor, ActorKind
from server.settings import Settings
from server.winding_up import service as winding_up

Command = Callable[[argparse.Namespace, Settings, asyncio.Event], Awaitable[None]]

OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)
DAY: Final = "%Y-%m-%d %H:%M UTC"


def add_commands(acts: "argparse._SubParsersAction[argparse.ArgumentParser]", *, say: Say) -> None:
    """Add the commands to those of ``jolda company``; ``say`` hears what was done."""
    words = "Close a company on a day to come: its drivers are erased then. Tells all of them."
    close = acts.add_parser("close", help=words, description=words)
    close.add_argument("--company", type=UUID, required=True)
    close.add_argument("--in-days", type=int, required=True, metavar=f"{DAYS_MIN}..{DAYS_MAX}")
    close.add_argument(
        "--yes", action="store_true", help="do it; without, only what it ends is told"
    )
    close.set_defaults(command=partial(_close, say=say))
    words = "Call the closing of a company off, until the day itself."
    keep_open = acts.add_parser("keep-open", help=words, description=words)
    keep_open.add_argument("--company", type=UUID, required=True)
    keep_open.set_defaults(command=partial(_keep_open, say=say))


async def _close(
    chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event, *, say: Say
) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        await close(found, dsns, chosen.company, days=chosen.in_days, yes=chosen.yes, say=say)


async def _keep_open(
    chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event, *, say: Say
) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        await keep_open(found, dsns, chosen.company, say=say)


async def close(
    settings: Settings,
    dsns: Databases,
    company_id: UUID,
    *,
    days: int,
    yes: bool,
    say: Say,
    clock: Clock = utc_now,
) -> Closing | None:
    """Say what the closing would end and, with ``yes``, ask for it.

    Raises
    ------
    ClosingDaysInvalid, CompanyMissing, ClosingAsked, Behind
    """
    now = clock()
    refuse_days(days)
    async with running.opened_to_write(dsns, settings, now=now) as opened:
        async with db.tenant(opened.pool, company_id, readonly=True) as conn:
            company = await accounts.company(conn, company_id)
            counts = await winding_up.counts(conn, company_id, now)
        say(
            f"{company.name}: {counted(counts.drivers, 'driver')} would be erased "
            f"({counts.erasures} under way already; something is held of {counts.held}, and stays "
            "until that ends)."
        )
        say(
            f"{counted(counts.staff, 'account')} of the staff, "
            f"{counted(counts.api_tokens, 'API token')}, {counted(counts.links, 'link')} and "
            f"{counted(counts.shifts, 'shift')} would end."
        )
        if not yes:
            say("Nothing was changed. To ask for it, add --yes.")
            return None
        async with db.tenant(opened.pool, company_id) as conn:
            asked = await closure.ask(conn, company_id, days=days, by=OPERATOR, now=now)
    say(f"It closes on {asked.closes_at:{DAY}}. Everybody in it is told.")
    say(f"Until then: jolda company keep-open --company {company_id}")
    return asked


async def keep_open(
    settings: Settings, dsns: Databases, company_id: UUID, *, say: Say, clock: Clock = utc_now
) -> None:
    """Call the closing off.

    Raises
    ------
    CompanyMissing, ClosingMissing, AlreadyClosed, Behind
    """
    now = clock()
    async with (
        running.opened_to_write(dsns, settings, now=now) as opened,
        db.tenant(opened.pool, company_id) as conn,
    ):
        await closure.keep_open(conn, company_id, by=OPERATOR, now=now)
    say("The company stays open. Everybody who was told that it closes is told so.")
