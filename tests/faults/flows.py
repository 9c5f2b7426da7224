"""The flows whose operations fail one by one, and what has to hold after each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from server.gate.model import GateItem
from server.kit import db
from server.retention.service import forget_old_tracks
from server.shifts import service as shifts
from server.tracking.compaction import compact_due
from tests.faults.nth import Broken, Told
from tests.faults.scene import Kept, Scene
from tests.uploading import positions
from tests.world import NOW, SHIFT_STARTED, Driver

LIVE_ONLY: Final = (GateItem.LOCATION, GateItem.DISPATCH_TRACKING)
MONTH_END: Final = datetime(2026, 12, 1, tzinfo=UTC)


def told_of(error: Exception) -> Told:
    """Return what a job's failure means: the next run tries again where it is an outage."""
    return Told.UNAVAILABLE if db.is_outage(error) else Told.FAILED


@dataclass(slots=True, kw_only=True)
class Upload:
    """One upload of a driver, and what it may store."""

    driver: Driver
    body: dict[str, Any]
    before: Kept
    tries: int = 0
    times_ms: tuple[int, ...] = ()
    """Of the positions that may be kept."""
    rows: int = 1
    only_latest: bool = False
    refused: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Uploading:
    """A phone uploads; told that it may try again, it sends the very same."""

    scene: Scene
    name: str
    make: "Callable[[Scene], Any]"

    async def prepare(self) -> Upload:
        made: Upload = await self.make(self.scene)
        return made

    async def act(self, case: Upload) -> Told:
        told, said = await self.scene.post("/v1/positions", case.driver.device_token, case.body)
        case.tries += 1
        if told is Told.DONE:
            answered = said["accepted"] + said["duplicate"] + len(said["refused"])
            if answered != len(case.body["positions"]):
                raise Broken(f"{answered} positions were answered for")
        return told

    async def check(self, case: Upload, told: Told) -> None:
        kept = await self.scene.kept(case.driver)
        whole = (kept.rows, kept.times_ms) == (case.rows, case.times_ms)
        before = (case.before.rows, case.before.times_ms)
        nothing = (kept.rows, kept.times_ms) == before
        if case.only_latest:
            whole = nothing and kept.latest_ms == case.times_ms[-1]
            nothing = nothing and kept.latest_ms is None
        if not whole and (told is Told.DONE or not nothing):
            raise Broken(f"{told.value}, but {len(kept.times_ms)} positions in {kept.rows} rows")
        # A refusal may be counted again when it comes again, and is not worth failing an upload.
        if kept.refused > case.refused * case.tries:
            raise Broken(f"{kept.refused} refusals counted of {case.refused}")
        if case.tries > 1 and told is Told.DONE and kept.refused < case.refused:
            raise Broken("refusals were not counted, tried again without a fault")
        if (kept.gate, kept.ledger) != (case.before.gate, case.before.ledger):
            raise Broken("an upload changed the gate or the ledger")


def times_ms(sent: list[dict[str, Any]]) -> tuple[int, ...]:
    moments = (datetime.fromisoformat(one["recorded_at"]).timestamp() for one in sent)
    return tuple(sorted(round(moment * 1000) for moment in moments))


async def whole_track(scene: Scene) -> Upload:
    scene.clock.at = NOW
    driver, sent = await scene.driver(), positions(10)
    return Upload(
        driver=driver,
        body={"batch_id": "a", "positions": sent},
        before=await scene.kept(driver),
        times_ms=times_ms(sent),
    )


async def held_already(scene: Scene) -> Upload:
    """Upload of a phone that this process believes something of, with a key it holds."""
    case = await whole_track(scene)
    earlier = positions(1, until=SHIFT_STARTED + timedelta(minutes=1))
    await scene.post("/v1/positions", case.driver.device_token, {"positions": earlier})
    case.before = await scene.kept(case.driver)
    case.times_ms = tuple(sorted((*case.times_ms, *times_ms(earlier))))
    case.rows = 2
    return case


async def only_latest(scene: Scene) -> Upload:
    scene.clock.at = NOW
    driver, sent = await scene.driver(*LIVE_ONLY), positions(1)
    return Upload(
        driver=driver,
        body={"positions": sent},
        before=await scene.kept(driver),
        times_ms=times_ms(sent),
        only_latest=True,
    )


async def half_refused(scene: Scene) -> Upload:
    scene.clock.at = NOW
    driver = await scene.driver()
    kept, refused = positions(5), positions(5, until=SHIFT_STARTED - timedelta(minutes=5))
    return Upload(
        driver=driver,
        body={"positions": [*refused, *kept]},
        before=await scene.kept(driver),
        times_ms=times_ms(kept),
        refused=5,
    )


async def two_months(scene: Scene) -> Upload:
    scene.clock.at = MONTH_END + timedelta(minutes=5)
    driver = await scene.driver(on_shift=False)
    async with db.tenant(scene.aside.pool, scene.company_id) as conn:
        await shifts.start(
            conn, scene.company_id, driver.member_id, now=MONTH_END - timedelta(hours=1)
        )
    sent = positions(10, until=MONTH_END + timedelta(seconds=45))
    return Upload(
        driver=driver,
        body={"positions": sent},
        before=await scene.kept(driver),
        times_ms=times_ms(sent),
        rows=2,
    )


UPLOADS: Final = {
    "upload, whole tracks": whole_track,
    "upload, known phone": held_already,
    "upload, latest only": only_latest,
    "upload, half of it refused": half_refused,
    "upload, two months": two_months,
}


@dataclass(frozen=True, slots=True)
class Compacting:
    """The job merges what a device uploaded in an hour."""

    scene: Scene
    name: str = "compaction of an hour"

    async def prepare(self) -> tuple[Driver, Kept]:
        scene = self.scene
        scene.clock.at = NOW
        # Of this driver alone: what other flows left would be merged as well.
        await scene.forget_all()
        driver = await scene.driver()
        for minute in (5, 10, 15):
            sent = positions(10, until=NOW - timedelta(hours=1, minutes=-minute), step_s=5)
            body = {"batch_id": str(uuid4()), "positions": sent}
            await scene.post("/v1/positions", driver.device_token, body)
        return driver, await scene.kept(driver)

    async def act(self, _case: tuple[Driver, Kept]) -> Told:
        world, later = self.scene.world, NOW + timedelta(hours=2)
        try:
            await compact_due(self.scene.main, world.pool, world.vault, world.company_id, later)
        except Exception as error:  # noqa: BLE001 - as the job runner takes it
            return told_of(error)
        return Told.DONE

    async def check(self, case: tuple[Driver, Kept], told: Told) -> None:
        driver, before = case
        after = await self.scene.kept(driver)
        if after.times_ms != before.times_ms:
            raise Broken(f"of {len(before.times_ms)} positions {len(after.times_ms)} are there")
        if after.rows not in ({1} if told is Told.DONE else {1, before.rows}):
            raise Broken(f"{told.value}, but {after.rows} rows of {before.rows}")
        if (after.gate, after.ledger) != (before.gate, before.ledger):
            raise Broken("compaction changed the gate or the ledger")


@dataclass(slots=True, kw_only=True)
class Aged:
    """A driver with positions and counters, most of which are older than they may get."""

    driver: Driver
    now: datetime
    young_ms: tuple[int, ...]
    """The positions that have to stay."""
    months: int
    """How many keys have to stay."""
    before: Kept
    expired: int
    """Positions that the ledger told of before."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """The job removes what was kept long enough, two rows at a time."""

    scene: Scene
    name: str
    whole_months: bool
    """All of it is too old, and so is the key of its month; or else the last is not."""

    async def prepare(self) -> Aged:
        scene = self.scene
        scene.clock.at = NOW
        await scene.forget_all()
        driver = await scene.driver()
        ends = [NOW - timedelta(minutes=minute) for minute in (110, 100, 90, 5)]
        sents = [positions(4, until=end, step_s=5) for end in ends]
        too_early = positions(1, until=SHIFT_STARTED - timedelta(hours=30))
        for sent in (*sents[:3], [*too_early, *sents[3]]):
            await scene.post("/v1/positions", driver.device_token, {"positions": sent})
        before = await scene.kept(driver)
        company = await scene.aside.owner.fetchrow(
            "SELECT * FROM company WHERE company_id = $1", scene.company_id
        )
        assert company is not None
        kept_for = timedelta(days=company["track_days"])
        late = timedelta(days=60) if self.whole_months else -timedelta(hours=1)
        return Aged(
            driver=driver,
            now=NOW + kept_for + late,
            young_ms=() if self.whole_months else times_ms(sents[3]),
            months=0 if self.whole_months else 1,
            before=before,
            expired=await scene.expired(),
        )

    async def act(self, case: Aged) -> Told:
        world = self.scene.world
        try:
            await forget_old_tracks(world.pool, world.vault, world.company_id, case.now, batch=2)
        except Exception as error:  # noqa: BLE001 - as the job runner takes it
            return told_of(error)
        return Told.DONE

    async def check(self, case: Aged, told: Told) -> None:
        after, before = await self.scene.kept(case.driver), case.before
        there = set(after.times_ms)
        if len(there) != len(after.times_ms) or not set(case.young_ms) <= there:
            raise Broken(f"{len(after.times_ms)} positions are left of {len(before.times_ms)}")
        expired = await self.scene.expired() - case.expired
        if expired != len(before.times_ms) - len(after.times_ms):
            gone = len(before.times_ms) - len(after.times_ms)
            raise Broken(f"{gone} positions went and the ledger tells of {expired}")
        months = await self.scene.months(case.driver)
        if told is Told.DONE:
            if after.times_ms != case.young_ms or months != case.months:
                raise Broken(f"done, but {len(after.times_ms)} positions and {months} keys left")
            if bool(after.refused) == self.whole_months:
                raise Broken(f"done, but {after.refused} refusals are counted")
        if after.gate != before.gate:
            raise Broken("retention changed the gate")


Flow = Uploading | Compacting | Expiring


def flows_of(scene: Scene) -> list[Flow]:
    uploading = [Uploading(scene, name, make) for name, make in UPLOADS.items()]
    return [
        *uploading,
        Compacting(scene),
        Expiring(scene, "retention, old tracks", whole_months=False),
        Expiring(scene, "retention, whole months", whole_months=True),
    ]
