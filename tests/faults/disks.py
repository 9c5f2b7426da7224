"""Proof: a disk that is full or cannot be written stops uploads, loses none, and is got over.

Phones upload to a server whose PostgreSQL keeps its files on a small disk of its own. It fills up,
or becomes read-only as Linux makes it when writing fails; what phones are answered meanwhile is
noted. When it is back nothing is done by hand: uploads have to be stored again, and every position
that was acknowledged has to be there once. Needs root, to mount disks.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from contextlib import nullcontext as as_it_is
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import asyncpg
from aiohttp import ClientSession

from server.kek.key_file import load
from server.kit import db, localpg
from server.kit.localpg import cluster
from server.kit.migrate import migrate
from server.uploads import web as uploads
from server.vault.opening import open_vault
from tests.endpoints import CONSENT, TRACKING
from tests.faults.disk_kinds import (
    DISKS,
    FAILS_S_MAX,
    PAUSE_S,
    Disk,
    NoDisk,
    WalFull,
    refuse_without_root,
)
from tests.faults.nth import Broken
from tests.faults.scene import kept_of
from tests.http import bearer, serve
from tests.proofs import Report, Row, Size, at_most
from tests.stage import Place, stage_on
from tests.uploading import positions
from tests.world import NOW, Driver, World, add_driver

PHONES: Final = 4
ACKNOWLEDGED_MIN: Final = 20
"""Uploads before the disk fails."""
BACK_S_TARGET: Final = 10.0
BACK_S_MAX: Final = 60.0
"""Then it will not come back by itself."""
BROKEN_S: Final[dict[Size, float]] = {"smoke": 1.0, "full": 15.0}


@dataclass(slots=True, kw_only=True)
class Phone:
    """Uploads one batch after the other, each again until it is acknowledged."""

    driver: Driver
    number: int
    acknowledged: set[int] = field(default_factory=set)
    """The times of positions that the server answered for with 200."""
    sent: set[int] = field(default_factory=set)
    answers: "Counter[str]" = field(default_factory=Counter)
    last_at: float = 0.0
    """When something was acknowledged last."""

    async def drive(self, client: ClientSession) -> None:
        place = 0
        while True:
            place += 1
            until = NOW - timedelta(minutes=90) + timedelta(seconds=place)
            batch = positions(1, until=until)
            self.sent.add(int(until.timestamp() * 1000))
            while not await self._upload(client, batch):  # noqa: ASYNC110 - as a phone does
                await asyncio.sleep(PAUSE_S)
            self.acknowledged.add(int(until.timestamp() * 1000))
            self.last_at = time.monotonic()

    async def _upload(self, client: ClientSession, batch: list[dict[str, Any]]) -> bool:
        secret = bearer(self.driver.device_token)
        async with client.post("/v1/positions", json={"positions": batch}, headers=secret) as said:
            body = await said.json(content_type=None)
            if said.status == 200:
                right = body["accepted"] + body["duplicate"] == len(batch)
                self.answers["stored" if right else "wrong"] += 1
                return bool(right)
            told = said.status == 503 and said.headers.get("Retry-After", "").isdigit()
            self.answers["unavailable" if told else f"wrong: {said.status}"] += 1
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    disk: str
    stored: int
    unavailable: int
    wrong: tuple[str, ...]
    """What was answered that is neither stored nor unavailable, and what does not hold after."""
    withdrawal: int
    """The status of a withdrawal while the disk had failed."""
    back_s: float | None
    """Until every phone's uploads were stored again; None if that did not happen in time."""


async def survive(
    disk_type: Callable[[Path], Disk],
    *,
    broken_s: float,
    back_s_max: float = BACK_S_MAX,
    without: Callable[[], AbstractContextManager[Any]] = as_it_is,
) -> Outcome:
    """Let the disk fail under uploads and be mended; return what came of it.

    Raises
    ------
    NoDisk
    """
    refuse_without_root()
    with tempfile.TemporaryDirectory(prefix="jolda-disk-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - the database's user has to get in
        disk = disk_type(folder)
        with disk.mounted(), without():
            async with _postgres_on(disk, folder) as place:
                return await _under_load(disk, place, broken_s, back_s_max)


@asynccontextmanager
async def _postgres_on(disk: Disk, folder: Path) -> AsyncGenerator[Place]:
    asked = folder / "postgres"
    if not isinstance(disk, WalFull):
        # Its log and lock lie beside the link, so that nothing of ours keeps the disk busy.
        asked.symlink_to(disk.path / "data")
    async with localpg.run(asked, say=lambda _: None):
        pass
    disk.prepare(asked)
    async with localpg.run(asked, say=lambda _: None) as server:
        admin = await asyncpg.connect(server.dsn())
        for schema in ("main", "keys"):
            await admin.execute(f"CREATE DATABASE {schema}")
        await admin.close()
        await migrate(server.dsn("main"), "main")
        await migrate(server.dsn("keys"), "keys")
        yield Place(main=server.dsn("main"), keys=server.dsn("keys"), kek=folder / "kek")


async def _under_load(disk: Disk, place: Place, broken_s: float, back_s_max: float) -> Outcome:
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(stage_on(place))
        world = await World.make(vault=at.vault, pool=at.pool, owner=at.owner)
        phones = [
            Phone(driver=await add_driver(at.vault, at.pool, world.company_id), number=number)
            for number in range(PHONES)
        ]
        session = await world.driver_session()
        client = await stack.enter_async_context(
            serve(
                world,
                TRACKING,
                CONSENT,
                prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(place.main)),
            )
        )
        driving = [asyncio.create_task(phone.drive(client)) for phone in phones]
        try:
            await _until(lambda: all(len(one.acknowledged) >= ACKNOWLEDGED_MIN for one in phones))
            await disk.fail(place.main)
            await _until(lambda: all(one.answers["unavailable"] for one in phones))
            withdrawal = await _withdraw(client, session)
            await asyncio.sleep(broken_s)
            await disk.mend()
            mended = time.monotonic()
            with suppress(TimeoutError):
                await _until(lambda: all(one.last_at > mended for one in phones), back_s_max)
            backs = [one.last_at - mended for one in phones]
        finally:
            for task in driving:
                task.cancel()
            await asyncio.gather(*driving, return_exceptions=True)
        answers = sum((one.answers for one in phones), Counter())
        back_s = max(backs) if min(backs) > 0 else None
        wrong = [name for name in answers if name.startswith("wrong")]
        if back_s is not None:
            wrong += await _missing(place, world, phones)
        return Outcome(
            disk=disk.name,
            stored=answers["stored"],
            unavailable=answers["unavailable"],
            wrong=tuple(wrong),
            withdrawal=withdrawal,
            back_s=back_s,
        )


async def _until(true: Callable[[], bool], seconds: float = FAILS_S_MAX) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(PAUSE_S)


async def _withdraw(client: ClientSession, session: str) -> int:
    async with client.post("/v1/me/consents/plan_fact/withdraw", headers=bearer(session)) as answer:
        return answer.status


async def _missing(place: Place, world: World, phones: list[Phone]) -> list[str]:
    """Return what is not as it was acknowledged, read anew from the disk."""
    found = []
    owner = await asyncpg.connect(place.main)
    try:
        async with db.pool(place.keys, role=db.ROLE_KEYS) as keys:
            vault = await open_vault(keys, load(place.kek), NOW)
            for phone in phones:
                kept = await kept_of(owner, vault, world.company_id, phone.driver)
                there = set(kept.times_ms)
                lost, foreign = phone.acknowledged - there, there - phone.sent
                doubled = len(kept.times_ms) - len(there)
                if lost or doubled or foreign:
                    found.append(f"{len(lost)} lost, {doubled} doubled, {len(foreign)} foreign")
    except Broken as broken:
        found.append(str(broken))
    finally:
        await owner.close()
    return found


def add_to(report: Report, size: Size) -> None:
    """Let each disk fail, and say in the report what came of it."""
    for disk in DISKS:
        try:
            outcome = asyncio.run(survive(disk, broken_s=BROKEN_S[size]))
        except NoDisk as why:
            report.add(Row(figure=disk.name, value="not run", note=str(why)))
            continue
        for row in rows_of(outcome):
            report.add(row)
    with suppress(NoDisk):
        outcome = asyncio.run(
            survive(WalFull, broken_s=1, back_s_max=5, without=without_a_new_start)
        )
        report.add(
            Row(
                figure="control: PostgreSQL is not started again",
                value="back" if outcome.back_s is not None else "never back",
                target="never back",
                met=outcome.back_s is None,
                control="never back",
            )
        )


def without_a_new_start() -> AbstractContextManager[Any]:
    """Take out what starts the embedded PostgreSQL again."""

    @asynccontextmanager
    async def left_alone(_server: object) -> AsyncGenerator[None]:
        yield

    return patch.object(cluster, "kept_running", left_alone)


def rows_of(outcome: Outcome) -> list[Row]:
    note = f"{outcome.stored} stored, {outcome.unavailable} unavailable"
    wrong = [*outcome.wrong]
    if outcome.withdrawal not in (200, 503):
        wrong.append(f"a withdrawal was answered {outcome.withdrawal}")
    return [
        Row(
            figure=f"did not hold: {outcome.disk}",
            value=len(wrong),
            target="= 0",
            met=not wrong and outcome.unavailable > 0,
            note="; ".join([note, f"a withdrawal meanwhile {outcome.withdrawal}", *wrong]),
        ),
        _back(outcome),
    ]


def _back(outcome: Outcome) -> Row:
    figure, limit_s = f"{outcome.disk}: stored again after it is back", BACK_S_TARGET
    if outcome.back_s is None:
        return Row(figure=figure, value="never", unit="s", target=f"<= {limit_s:g}", met=False)
    return at_most(figure, outcome.back_s, limit_s, unit="s")
