"""``jolda backup | restore``: the two databases in a folder, and out of it."""

import argparse
import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from server import databases, running
from server.backups import fence, marks, reconcile, service
from server.backups.model import BackupRefused
from server.backups.reconcile import Ground
from server.databases import Databases, Say
from server.kek.places import keks_at
from server.kit import db
from server.kit.web import utc_now
from server.settings import Settings

Command = Callable[[argparse.Namespace, Settings, asyncio.Event], Awaitable[None]]

RECONCILE: Final = "reconcile"
T = TypeVar("T")


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *, say: Say
) -> None:
    """Add the commands to the parser; ``say`` hears how far they are."""
    words = "Write both databases to a new folder, without the KEK."
    backup = commands.add_parser("backup", help=words, description=words)
    backup.add_argument("folder", type=Path, metavar="FOLDER")
    backup.set_defaults(command=partial(_back_up, say=say))
    words = "Read a database of a backup into an empty one, or reconcile what was restored."
    restore = commands.add_parser("restore", help=words, description=words)
    restore.add_argument("what", metavar="FOLDER|reconcile")
    which = restore.add_mutually_exclusive_group()
    which.add_argument("--main", action="store_true", help="restore main")
    which.add_argument("--keys", action="store_true", help="restore the key database")
    restore.add_argument(
        "--dry-run", action="store_true", help="of reconcile: only tell what would be done"
    )
    restore.add_argument(
        "--all",
        action="store_true",
        help="of reconcile: main was brought back by other means than jolda restore",
    )
    restore.add_argument(
        "--set-aside",
        action="store_true",
        help="of the embedded PostgreSQL: keep the database that is there under another name",
    )
    restore.set_defaults(command=partial(_restore, say=say))


async def _back_up(
    chosen: argparse.Namespace, found: Settings, stop: asyncio.Event, *, say: Say
) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        async with databases.opened(dsns, found, now=utc_now()) as opened:
            work = service.backup(
                {"main": dsns.main, "keys": dsns.keys},
                opened.vault,
                chosen.folder,
                home=found.home,
                clock=utc_now,
                say=say,
            )
            await _unless_stopped(work, stop)


async def _restore(
    chosen: argparse.Namespace, found: Settings, stop: asyncio.Event, *, say: Say
) -> None:
    is_reconcile = chosen.what == RECONCILE
    if is_reconcile == (chosen.main or chosen.keys) or (
        chosen.set_aside if is_reconcile else chosen.dry_run or chosen.all
    ):
        raise BackupRefused(
            "Name a folder with --main or with --keys, or reconcile with or without --dry-run "
            "and --all."
        )
    if is_reconcile:
        await _reconcile(found, dry_run=chosen.dry_run, every=chosen.all, say=say)
        return
    if chosen.set_aside and found.database_url is not None:
        raise BackupRefused("--set-aside is for the embedded PostgreSQL: make an empty database.")
    folder = Path(chosen.what)
    async with databases.available(found, say=say) as dsns:
        aside_at = utc_now() if chosen.set_aside else None
        if chosen.keys:
            async with keks_at(found.kek, may_make=False) as keks:
                work = service.restore_keys(dsns.keys, keks, folder, say=say, aside_at=aside_at)
                manifest = await _unless_stopped(work, stop)
            # Nothing breaks this off: it is restored, and must not be served as it is.
            async with _marking(dsns) as keys_pool:
                await marks.mark_keys(keys_pool, until=manifest.begun_at, now=utc_now())
        else:
            work = service.restore_main(dsns.main, dsns.keys, folder, say=say, aside_at=aside_at)
            manifest = await _unless_stopped(work, stop)
            async with _marking(dsns) as keys_pool:
                # First those that the manifest names: reading what was restored may fail.
                await marks.mark_main(keys_pool, (), manifest.heads, now=utc_now())
                there = await running.companies(dsns)
                await marks.mark_main(keys_pool, there, manifest.heads, now=utc_now())
    say("When both databases are there, run: jolda migrate, then: jolda restore reconcile")


async def _reconcile(found: Settings, *, dry_run: bool, every: bool, say: Say) -> None:
    async with (
        databases.up_to_date(found, say=say) as dsns,
        databases.opened(dsns, found, now=utc_now()) as opened,
    ):
        ground = Ground(pool=opened.pool, keys_pool=opened.keys_pool, vault=opened.vault, say=say)
        companies = await running.companies(dsns)
        await fence.refuse_keyless(opened.keys_pool, companies)
        done = await reconcile.reconcile(
            ground, companies, now=utc_now(), dry_run=dry_run, every=every
        )
    if done and not dry_run:
        say("Reconciled: jolda serve starts again. jolda ledger verify tells what was lost.")


@asynccontextmanager
async def _marking(dsns: Databases) -> AsyncGenerator[db.Pool]:
    """Open the key database to note what was restored; its backup may be older than we are."""
    # Alembic and SQLAlchemy: no other command of these takes them.
    from server.kit.migrate import migrate  # noqa: PLC0415

    await migrate(dsns.keys, "keys")
    async with db.pool(dsns.keys, role=db.ROLE_KEYS, size_max=1) as keys_pool:
        yield keys_pool


async def _unless_stopped(work: Awaitable[T], stop: asyncio.Event) -> T:
    """Do it; a signal breaks it off, and nothing half is left."""
    doing = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.wait([doing])
        raise BackupRefused("Stopped: nothing was kept of it.")
    return doing.result()
