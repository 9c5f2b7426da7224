"""``jolda serve | migrate | company | backup | restore | retention | keys | ledger | ...``.

What a person types; and ``worker`` and ``jobs``, which ``serve`` starts.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import uvloop

from server import (
    closings,
    databases,
    orders,
    recovery,
    running,
    settings,
    supervised,
    supervisor,
    verifying,
)
from server.backups.model import BackupRefused, Behind
from server.connections import ConnectionsShort
from server.demo import show
from server.kek.claim import remove_all
from server.kek.model import KekUnusable
from server.kek.places import keks_at
from server.kit import localpg, logs
from server.kit.db import PostgresUnreachable, UnsafePostgres
from server.kit.errors import DomainError
from server.kit.http_server import CannotListen, ParserUnsafe
from server.kit.revision import SchemaTooNew, SchemaUnreadable
from server.kit.web import utc_now
from server.ledger.documents import DocumentRefused, FileUnreadable
from server.rekeying import command as keys
from server.retention.model import ClocksApart
from server.settings import Settings, SettingsInvalid

# Each tells a person in one sentence what is wrong; nothing was damaged.
TOLD: Final = (
    SettingsInvalid,
    localpg.LocalPostgresError,
    PostgresUnreachable,
    UnsafePostgres,
    databases.SchemaOutdated,
    databases.StorageMoved,
    SchemaTooNew,
    SchemaUnreadable,
    KekUnusable,
    CannotListen,
    ParserUnsafe,
    show.TracksMissing,
    DomainError,
    DocumentRefused,
    running.LedgerBroken,
    BackupRefused,
    Behind,
    ConnectionsShort,
    ClocksApart,
    supervisor.CannotStart,
    supervised.NoSupervisor,
)
WORDS_MAX: Final = 200
PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4

Command = Callable[[argparse.Namespace, Settings, asyncio.Event], Awaitable[None]]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    chosen = _parser().parse_args(arguments)
    logs.configure(process=chosen.name if _is_supervised(chosen) else None)
    leave_no_core()
    if os.environ.get("JOLDA_STOP_WITH_PARENT") == "1":
        _stop_with_parent()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(chosen.command, chosen))
    except TOLD as problem:
        if not _is_supervised(chosen):  # else the supervisor tells it, once for all of them
            sys.stderr.write(f"jolda: {_sentence(problem)}\n")
        return 2 if isinstance(problem, FileUnreadable) else 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _until_stopped(command: Command, chosen: argparse.Namespace) -> None:
    """Run the command; SIGINT and SIGTERM ask it to stop, a second one is not waited for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.report_loop_error)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        found = settings.read()
    except SettingsInvalid as problem:
        if _is_supervised(chosen):
            await supervised.refuse(chosen.line, problem)
        raise
    await command(chosen, found, stop)


def leave_no_core() -> None:
    """Write no memory to a disk when the process crashes: it holds unwrapped keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The limit does not hold for cores that the kernel hands to a program.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def _stop_with_parent() -> None:
    """Stop when the process that started us dies, even by ``kill -9``."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def _serve(_chosen: argparse.Namespace, found: Settings, stop: asyncio.Event) -> None:
    show.refuse_public(found)
    if found.workers > 1:
        await supervisor.serve(found, stop=stop, say=say)
        return
    async with (
        databases.up_to_date(found, say=say) as dsns,
        running.server(found, dsns, clock=utc_now, say=say),
    ):
        say("Ready. Ctrl-C stops it.")
        await stop.wait()
        say("Stopping...")


async def _worker(chosen: argparse.Namespace, found: Settings, stop: asyncio.Event) -> None:
    await supervised.work(running.worker, found, chosen.line, stop, told=TOLD)


async def _jobs(chosen: argparse.Namespace, found: Settings, stop: asyncio.Event) -> None:
    await supervised.work(running.job_runner, found, chosen.line, stop, told=TOLD)


async def _migrate(_chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.bring_up_to_date(dsns, say=say)
        say("Both databases are up to date.")


async def _create_company(
    chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event
) -> None:
    async with databases.up_to_date(found, say=say) as dsns:
        company = running.NewCompany(
            name=chosen.name,
            time_zone=chosen.time_zone,
            main_user_name=chosen.main_user_name,
            main_user_email=chosen.main_user_email,
            business_number=chosen.bin,
            privacy_contact=chosen.privacy_contact,
            erasure_grace=timedelta(days=chosen.erasure_grace_days),
        )
        code, expires_at = await running.create_company(found, dsns, company, now=utc_now())
    if chosen.bin is None or chosen.privacy_contact is None:
        say(
            "No driver can consent before the company says who it is: give --bin and "
            "--privacy-contact, or let the main user state them (PUT /v1/policies/controller)."
        )
    say(f"Company {chosen.name} is there. Its main user sets a password with this code, once:")
    sys.stdout.write(f"{code}\n")
    say(f"It is good until {expires_at:%Y-%m-%d %H:%M} UTC. See docs/how-to/first-company.md.")


async def _verify_ledger(chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        await running.verify_ledgers(found, dsns, company_id=chosen.company, say=say)


async def _forget_old(chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        await running.forget_old(
            found, dsns, company_id=chosen.company, dry_run=chosen.dry_run, say=say
        )


async def _keep(chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        for set_days, of, days, ever in (
            (running.keep_tracks, "Tracks", chosen.track_days, "until the driver is erased"),
            (running.keep_plans, "Plans", chosen.plan_days, "until they are deleted"),
            (running.keep_unused, "Accounts that nobody uses", chosen.idle_days, "for ever"),
        ):
            if days is not None:
                before = await set_days(found, dsns, company_id=chosen.company, days=days)
                said = ever if before is None else before
                say(f"{of} are kept for {days} days (before: {said}).")


async def _keys_status(_chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        await databases.refuse_ungranted(dsns)
        keks = partial(keks_at, found.kek, may_make=False)
        await keys.tell_status(dsns.keys, keks, say=say)


async def _rotate_keys(_chosen: argparse.Namespace, found: Settings, stop: asyncio.Event) -> None:
    async with databases.available(found, say=say) as dsns:
        await databases.refuse_outdated(dsns)
        await databases.refuse_ungranted(dsns)
        await running.rotate_keys(found, dsns, stop=stop, say=say)


async def _demo(chosen: argparse.Namespace, found: Settings, stop: asyncio.Event) -> None:
    await show.run(found, speed=chosen.speed, port=chosen.port, stop=stop, say=say)


async def _clean(_chosen: argparse.Namespace, found: Settings, _stop: asyncio.Event) -> None:
    if found.database_url is not None:
        # The KEK in this folder may be the only one that opens that database.
        raise SettingsInvalid("DATABASE_URL is set: clean removes embedded data only. Unset it.")
    localpg.remove(found.home / "postgres")
    # Only what Jolda itself made: the folder may be one that holds other things.
    remove_all(found.home / "keys" / "kek")
    for log in found.home.glob("postgres.*"):
        log.unlink()
    for made in (found.home / "demo", found.home / "proofs"):
        shutil.rmtree(made, ignore_errors=True)
    for folder in (found.home / "keys", found.home):
        with contextlib.suppress(OSError):  # something of somebody else's is in it
            folder.rmdir()
    say(f"Removed the embedded database, its keys and the demo's files from {found.home}.")


def _sentence(problem: Exception) -> str:
    """Return what is wrong; some refusals of the API say no more than their title."""
    said = str(problem)
    if not said and isinstance(problem, DomainError):
        said = f"{problem.title}."
    return said


def _is_supervised(chosen: argparse.Namespace) -> bool:
    return getattr(chosen, "line", None) is not None


_STARTED_S: Final = time.monotonic()


def say(sentence: str) -> None:
    """Tell the person at the terminal, with the seconds since the start."""
    sys.stdout.write(f"[{time.monotonic() - _STARTED_S:5.1f} s] {sentence}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jolda", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Command, words: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=words, description=words)
        one.set_defaults(command=command)
        return one

    add("serve", _serve, "Serve the API and the web apps until stopped.")
    for name, command, words in (
        ("worker", _worker, "Answer requests, as one of several. Started by serve."),
        ("jobs", _jobs, "Run the jobs beside the workers. Started by serve."),
    ):
        part = add(name, command, words)
        part.add_argument("--name", default=name, help=argparse.SUPPRESS)
        part.add_argument("--line", type=int, default=None, help=argparse.SUPPRESS)
    add("migrate", _migrate, "Bring both databases to the newest schema.")
    demo = add("demo", _demo, "Serve with a demo company whose drivers replay recorded tracks.")
    demo.add_argument("--speed", type=_speed, default=10.0, help="1 to 60 times real time")
    demo.add_argument("--port", type=int, default=None, help="default: JOLDA_PORT, or 8080")
    add("clean", _clean, "Remove the embedded PostgreSQL, its data and the demo's files.")
    company = commands.add_parser("company", help="Companies.").add_subparsers(
        required=True, metavar="act"
    )
    create = company.add_parser("create", help="Make a company and invite its main user.")
    create.add_argument("--name", type=_words, required=True)
    create.add_argument("--time-zone", default="Asia/Almaty", help="an IANA name")
    create.add_argument("--main-user-name", type=_words, required=True)
    create.add_argument("--main-user-email", required=True)
    create.add_argument(
        "--erasure-grace-days",
        type=int,
        choices=range(31),
        default=7,
        metavar="0..30",
        help="how long a deleted driver can still export (default 7)",
    )
    create.add_argument("--bin", type=_business_number, help="its business number: 12 digits")
    create.add_argument(
        "--privacy-contact", type=_words, help="where drivers write about their data"
    )
    create.set_defaults(command=_create_company)
    words = "Say for how many days a company's tracks, plans or unused accounts are kept."
    keep = company.add_parser("keep", help=words, description=words)
    keep.add_argument("--company", type=UUID, required=True)
    days = keep.add_mutually_exclusive_group(required=True)
    days.add_argument("--track-days", type=int, metavar="1..365")
    days.add_argument("--plan-days", type=int, metavar="1..3650")
    days.add_argument("--idle-days", type=int, metavar="90..1095")
    keep.set_defaults(command=_keep)
    closings.add_commands(company, say=say)
    forget = add("retention", _forget_old, "Remove now what was kept long enough.")
    forget.add_argument("--company", type=UUID, help="only this one")
    forget.add_argument("--dry-run", action="store_true", help="only tell what would go")
    recovery.add_commands(commands, say=say)
    orders.add_commands(commands, say=say)
    _add_ledger(commands)
    _add_keys(commands)
    verifying.add_commands(commands)
    return parser


def _add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    acts = commands.add_parser("keys", help="The keys that everything is sealed with.")
    act = acts.add_subparsers(required=True, metavar="act")
    for name, command, words in (
        ("status", _keys_status, "Tell how the keys stand, and when they were last exchanged."),
        ("rotate", _rotate_keys, "Exchange the KEK, every company's key and the pepper now."),
    ):
        act.add_parser(name, help=words, description=words).set_defaults(command=command)


def _add_ledger(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ledger = commands.add_parser("ledger", help="The record of what was done.").add_subparsers(
        required=True, metavar="act"
    )
    words = "Check every entry of the ledger, and name the first that is wrong."
    verify = ledger.add_parser("verify", help=words, description=words)
    verify.add_argument("--company", type=UUID, help="only this one")
    verify.set_defaults(command=_verify_ledger)


def _business_number(text: str) -> str:
    if not re.fullmatch("[0-9]{12}", text):
        raise argparse.ArgumentTypeError("12 digits")
    return text


def _words(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > WORDS_MAX:
        raise argparse.ArgumentTypeError(f"one line of 1 to {WORDS_MAX} characters")
    return text


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1.0 <= speed <= show.SPEED_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {show.SPEED_MAX:.0f}")
    return speed


if __name__ == "__main__":
    raise SystemExit(main())
