"""``jolda order``: what an authority ordered to be done to a driver's account, and nothing else.

The operator of the platform blocks nobody of their own accord. The number of the order is kept with
the account, in the ledger, and told to the driver.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from uuid import UUID

from server import databases, running
from server.consent import service as consent
from server.databases import Databases, Say
from server.erasure import service as erasure
from server.gate import service as gate
from server.journal.service import Journal
from server.kit import db
from server.kit.web import Clock, utc_now
from server.ledger.model import Actor, ActorKind
from server.notices.model import is_code
from server.settings import Settings
from server.standing.model import BlockReason

Command = Callable[[argparse.Namespace, Settings, asyncio.Event], Awaitable[None]]

OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *, say: Say
) -> None:
    """Add the commands to the parser; ``say`` hears what was done."""
    words = "Do what an authority ordered to be done to a driver's account."
    acts = commands.add_parser("order", help=words, description=words)
    act = acts.add_subparsers(required=True, metavar="act")
    for name, lift, told in (
        ("block", False, "Block a driver's account. Their rights over their data stay."),
        ("unblock", True, "Lift a block that an authority had ordered."),
    ):
        one = act.add_parser(name, help=told, description=told)
        one.add_argument("--company", type=UUID, required=True)
        one.add_argument("--driver", type=UUID, required=True)
        if not lift:
            one.add_argument(
                "--reference",
                type=_reference,
                required=True,
                help="the number of the order: at most 40 letters, digits, dots and dashes",
            )
        one.set_defaults(command=partial(_carry_out, lift=lift, say=say))


async def _carry_out(
    chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event, *, lift: bool, say: Say
) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        if lift:
            await unblock(found, dsns, chosen.company, chosen.driver)
            say("The block is lifted. The driver is told; only they can start a shift.")
        else:
            await block(found, dsns, chosen.company, chosen.driver, reference=chosen.reference)
            say("The account is blocked and nothing is recorded of the driver, who is told.")


async def block(
    settings: Settings,
    dsns: Databases,
    company_id: UUID,
    driver_id: UUID,
    *,
    reference: str,
    clock: Clock = utc_now,
) -> None:
    """Block a driver's account by the order of an authority.

    Raises
    ------
    GateMissing, MemberStateRefused, Behind
    """
    now = clock()
    async with running.opened_to_write(dsns, settings, now=now) as opened:
        async with gate.stopping(opened.pool, company_id, driver_id, now=now) as conn:
            await consent.block(
                conn,
                company_id,
                driver_id,
                BlockReason.LEGAL_ORDER,
                by=OPERATOR,
                order=reference,
                now=now,
            )
        await Journal(opened.pool, opened.keys_pool).copy(company_id, now)


async def unblock(
    settings: Settings,
    dsns: Databases,
    company_id: UUID,
    driver_id: UUID,
    *,
    clock: Clock = utc_now,
) -> None:
    """Lift a block that an authority had ordered.

    Raises
    ------
    GateMissing, MemberStateRefused, ErasureUnderWay, BlockNotYours, Behind
    """
    now = clock()
    async with (
        running.opened_to_write(dsns, settings, now=now) as opened,
        db.tenant(opened.pool, company_id) as conn,
    ):
        await erasure.unblock(conn, company_id, driver_id, by=OPERATOR, now=now)


def _reference(text: str) -> str:
    if not is_code(text):
        raise argparse.ArgumentTypeError("at most 40 letters, digits, dots and dashes")
    return text
