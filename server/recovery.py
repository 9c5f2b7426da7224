"""``jolda backup | restore``: the two databases in a folder, and out of it."""

import argparse
import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from server import databases, running
from server.backups import fence, marks, reconcile, service
from server.backups.model import BackupRefused, Manifest
from server.backups.reconcile import Ground
from server.databases import Databases, Say
from server.journal import service as journal
from server.kek.places import keks_at
from server.kit import db
from server.kit.web import utc_now
from server.settings import Settings

Command = Callable[[argparse.Namespace, Settings, asyncio.Event], Awaitable[None]]

RECONCILE: Final = "reconcile"
NEXT: Final = "When both databases are there, run: jolda migrate, then: jolda restore reconcile"
NOT_RESTORED: Final = "Stopped: nothing was restored. Begin it again."
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
    words = "restore the key database; of reconcile: it was brought back by other means"
    which.add_argument("--keys", action="store_true", help=words)
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
            await _unless_stopped(work, stop, "Stopped: nothing was kept of it.")


async def _restore(
    chosen: argparse.Namespace, found: Settings, stop: asyncio.Event, *, say: Say
) -> None:
    is_reconcile = chosen.what == RECONCILE
    if (
        chosen.main or chosen.set_aside
        if is_reconcile
        else chosen.dry_run or chosen.all or not (chosen.main or chosen.keys)
    ):
        raise BackupRefused(
            "Name a folder with --main or with --keys, or reconcile with or without --dry-run, "
            "--all and --keys."
        )
    if is_reconcile:
        await _reconcile(found, chosen, stop, say=say)
        return
    if chosen.set_aside and found.database_url is not None:
        raise BackupRefused("--set-aside is for the embedded PostgreSQL: make an empty database.")
    async with databases.available(found, say=say) as dsns:
        restore = _restore_keys if chosen.keys else _restore_main
        aside_at = utc_now() if chosen.set_aside else None
        await restore(Path(chosen.what), found, dsns, stop, aside_at=aside_at, say=say)


async def _restore_keys(
    folder: Path,
    found: Settings,
    dsns: Databases,
    stop: asyncio.Event,
    *,
    aside_at: datetime | None,
    say: Say,
) -> None:
    async def begin(manifest: Manifest) -> None:
        async with service.as_owner(dsns.keys) as owner:
            await marks.intend_keys(owner, until=manifest.begun_at)

    async with keks_at(found.kek, may_make=False) as keks:
        # Whoever uses it may still be there, unless it is the very one that is set aside.
        await keks.refuse_other(await _installation(dsns))
        work = service.restore_keys(
            dsns.keys, keks, folder, say=say, aside_at=aside_at, begin=begin
        )
        await _unless_stopped(work, stop, NOT_RESTORED)
        # Nothing breaks this off: it is restored, and must not be served as it is.
        async with _marking(dsns) as keys_pool:
            await _note_keys(dsns, keys_pool)
        if aside_at is not None:
            await keks.disclaim()
    say("If main is from a backup as well, now restore it: jolda restore FOLDER --main")
    say(NEXT)


async def _restore_main(
    folder: Path,
    _found: Settings,
    dsns: Databases,
    stop: asyncio.Event,
    *,
    aside_at: datetime | None,
    say: Say,
) -> None:
    async def begin(manifest: Manifest) -> None:
        async with _marking(dsns) as keys_pool:
            await marks.mark_main(keys_pool, (), manifest.heads, now=utc_now())

    work = service.restore_main(
        dsns.main, dsns.keys, folder, say=say, aside_at=aside_at, begin=begin
    )
    manifest = await _unless_stopped(work, stop, NOT_RESTORED)
    async with _marking(dsns) as keys_pool:
        # An older release's manifest names no company whose ledger is empty.
        there = await running.companies(dsns)
        await marks.mark_main(keys_pool, there, manifest.heads, now=utc_now())
    say(NEXT)


async def _installation(dsns: Databases) -> UUID | None:
    """Return whose the key database is that is there now; None: nobody's."""
    async with service.as_owner(dsns.keys) as owner:
        return await service.installation(owner)


async def _note_keys(dsns: Databases, keys_pool: db.Pool) -> bool:
    async with service.as_owner(dsns.keys) as owner:
        return await marks.note_keys(owner, keys_pool, now=utc_now())


async def _reconcile(
    found: Settings, chosen: argparse.Namespace, stop: asyncio.Event, *, say: Say
) -> None:
    async with (
        databases.up_to_date(found, say=say) as dsns,
        databases.opened(dsns, found, now=utc_now()) as opened,
    ):
        ground = Ground(
            dsn=opened.dsn,
            pool=opened.pool,
            keys_pool=opened.keys_pool,
            vault=opened.vault,
            say=say,
        )
        if await _note_keys(dsns, opened.keys_pool):
            say("keys: noted that it was restored; the restore was broken off before it could.")
        companies = await running.companies(dsns)
        await fence.refuse_keyless(opened.keys_pool, companies)
        work = reconcile.reconcile(
            ground,
            companies,
            now=utc_now(),
            dry_run=chosen.dry_run,
            every=chosen.all,
            keys_until=await journal.heard_at(opened.keys_pool) if chosen.keys else None,
        )
        done = await _unless_stopped(work, stop, "Stopped. It goes on from there when run again.")
    if not done:
        return
    if chosen.dry_run:
        say("Nothing was changed. To do it, run: jolda restore reconcile")
        return
    say("Reconciled. What is lost, and that no more is, tells: jolda ledger verify")
    say(
        "If main was restored, passwords, second factors, holds, stated birth years, editions and "
        "all that was set are those of the backup, but for what is said above: set again what was "
        "changed since, holds first."
    )
    say("Then start it again: jolda serve")


@asynccontextmanager
async def _marking(dsns: Databases) -> AsyncGenerator[db.Pool]:
    """Open the key database to note what was restored; its backup may be older than we are."""
    # Alembic and SQLAlchemy: no other command of these takes them.
    from server.kit.migrate import migrate  # noqa: PLC0415

    await migrate(dsns.keys, "keys")
    async with db.pool(dsns.keys, role=db.ROLE_KEYS, size_max=1) as keys_pool:
        yield keys_pool


async def _unless_stopped(work: Awaitable[T], stop: asyncio.Event, said: str) -> T:
    """Do it; a signal breaks it off, nothing half is left, and that is ``said``."""
    doing = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.wait([doing])
        raise BackupRefused(said)
    return doing.result()
