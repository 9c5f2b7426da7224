"""The whole path against the oracle: acts of a driver and uploads of their phone, drawn at random.

What is in force is written down here, act by act; the server finds it out by itself.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.consent.model import ConsentAct, LocationTerms
from server.gate import service as gates
from server.gate.model import GateItem, Source
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from tests import consents
from tests.uploading import Api
from tests.uploads.oracle import ALL_SOURCES, MINUTE, SECOND, Fix, Rules, Sent, verdicts
from tests.world import NOW, add_driver

STEPS = 45
SHIFT_MAX = 14 * 60 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


@dataclass(kw_only=True)
class Diary:
    """What the driver did, and so what has to be in force."""

    since: dict[GateItem, int] = field(default_factory=dict)
    terms: LocationTerms = field(default_factory=LocationTerms)
    windows: list[list[int]] = field(default_factory=list)
    shift_ends: int | None = None
    paused: bool = False

    def on_shift(self, now: int) -> bool:
        return self.shift_ends is not None and now < self.shift_ends

    def open(self, now: int) -> None:
        assert self.shift_ends is not None
        self.windows.append([now, self.shift_ends])

    def close(self, now: int) -> None:
        if self.windows:
            self.windows[-1][1] = min(self.windows[-1][1], now)

    def rules(self) -> Rules:
        return Rules(
            location_since=self.since.get(GateItem.LOCATION),
            dispatch_since=self.since.get(GateItem.DISPATCH_TRACKING),
            plan_fact_since=self.since.get(GateItem.PLAN_FACT),
            windows=[(start, end) for start, end in self.windows],
            buffer_max=72 * 60 * MINUTE,
            sources=frozenset(one.value for one in self.terms.sources),
            background=self.terms.background,
        )


class Actor:
    """One driver who acts through the services, and writes the diary."""

    def __init__(self, api: Api, rng: random.Random, driver_id: Any) -> None:
        self._api = api
        self._rng = rng
        self._key = (api.world.company_id, driver_id)
        self.diary = Diary()

    @property
    def now(self) -> datetime:
        return self._api.clock.at

    async def act(self) -> None:
        """Do something that the driver may do now."""
        diary, now = self.diary, us(self.now)
        acts = [self._give, self._give, self._withdraw]
        if diary.on_shift(now):
            acts += [self._end, self._resume if diary.paused else self._pause]
        elif diary.rules().location_since is not None and len(diary.since) > 1:
            acts += [self._start] * 3
        await self._rng.choice(acts)(now)

    async def _give(self, now: int) -> None:
        item = self._rng.choice(list(GateItem))
        if item in self.diary.since:
            return
        terms = None
        if item is GateItem.LOCATION:
            some = frozenset(self._rng.sample(list(Source), 3))
            terms = LocationTerms(
                sources=self._rng.choice((frozenset(Source), some)),
                background=self._rng.random() < 0.7,
            )
            self.diary.terms = terms
        async with gates.stopping(self._api.world.pool, *self._key, now=self.now) as conn:
            await consents.answer(
                conn, *self._key, item, ConsentAct.GIVE, now=self.now, terms=terms
            )
        self.diary.since[item] = now

    async def _withdraw(self, now: int) -> None:
        if not self.diary.since or self._rng.random() < 0.75:
            return
        item = self._rng.choice(list(self.diary.since))
        async with gates.stopping(self._api.world.pool, *self._key, now=self.now) as conn:
            await consents.withdraw(conn, *self._key, item, now=self.now)
        del self.diary.since[item]
        if GateItem.LOCATION not in self.diary.since or len(self.diary.since) == 1:
            self.diary.close(now)
            self.diary.shift_ends = None

    async def _start(self, now: int) -> None:
        async with gates.stopping(self._api.world.pool, *self._key, now=self.now) as conn:
            await shifts.start(conn, *self._key, now=self.now)
        self.diary.shift_ends, self.diary.paused = now + SHIFT_MAX, False
        self.diary.open(now)

    async def _pause(self, now: int) -> None:
        async with gates.stopping(self._api.world.pool, *self._key, now=self.now) as conn:
            await shifts.pause(conn, *self._key, now=self.now)
        self.diary.paused = True
        self.diary.close(now)

    async def _resume(self, now: int) -> None:
        async with gates.stopping(self._api.world.pool, *self._key, now=self.now) as conn:
            await shifts.resume(conn, *self._key, now=self.now)
        self.diary.paused = False
        self.diary.open(now)

    async def _end(self, now: int) -> None:
        async with gates.stopping(self._api.world.pool, *self._key, now=self.now) as conn:
            await shifts.end(conn, *self._key, by=ShiftEnd.DRIVER, now=self.now)
        self.diary.close(now)
        self.diary.shift_ends = None


def drawn(rng: random.Random, diary: Diary, received_at: int) -> Sent:
    """Return an upload whose times lie on the diary's edges, by a clock that is a little off."""
    offset = rng.choice((None, 0, 3, 7, -9, 90, -90))
    edges = [received_at, *diary.since.values(), *(edge for one in diary.windows for edge in one)]
    shift = rng.choice((0, 0, 5 * SECOND, -(offset or 0) * SECOND))
    fixes = [
        Fix(
            recorded_at=(rng.choice(edges) + shift + rng.randint(-2, 40) * SECOND) // 1_000 * 1_000
            + rng.choice((-1_000, 0, 1_000)),
            source=rng.choice((*sorted(ALL_SOURCES), None)),
            app_state=rng.choice(("foreground", "foreground", "background", None)),
        )
        for _ in range(rng.randint(1, 12))
    ]
    if rng.random() < 0.7:  # else the newest would nearly always give the clock away
        fixes = [one for one in fixes if one.recorded_at <= received_at] or fixes
    # One time each: what is the newest must not depend on the order.
    fixes = list({one.recorded_at: one for one in fixes}.values())
    sent_at = None if offset is None else received_at - offset * SECOND
    return Sent(fixes=fixes, received_at=received_at, sent_at=sent_at)


def body(sent: Sent) -> dict[str, Any]:
    def text(at: int) -> str:
        return (EPOCH + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")

    return {
        "sent_at": None if sent.sent_at is None else text(sent.sent_at),
        "positions": [
            {
                "recorded_at": text(one.recorded_at),
                "lat": 51.1,
                "lon": 71.4,
                "source": one.source,
                "app_state": one.app_state,
            }
            for one in sent.fixes
        ],
    }


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_kept_is_what_the_oracle_keeps(api: Api, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    world = api.world
    driver = await add_driver(
        world.vault, world.pool, world.company_id, consents=(), on_shift=False
    )
    api.clock.at = NOW
    actor = Actor(api, rng, driver.member_id)
    kept = 0
    newest: int | None = None
    for _ in range(STEPS):
        step_s = rng.choice((1, 10, 100, 1_000, 50_000))
        api.clock.at += timedelta(microseconds=rng.randrange(1, step_s * SECOND))
        await actor.act()
        api.clock.at += timedelta(microseconds=rng.randrange(1, 20 * SECOND))
        sent = drawn(rng, actor.diary, us(api.clock.at))
        expected = verdicts(actor.diary.rules(), sent)
        if actor.diary.rules().plan_fact_since is None and None in expected:
            # Of several uploads only the newest position is kept.
            place = expected.index(None)
            at = sent.fixes[place].recorded_at
            if newest is not None and at < newest:
                expected[place] = "not_kept"
            else:
                newest = at

        status, answer = await api.post(body(sent), driver=driver)

        told: list[str | None] = [None] * len(sent.fixes)
        for one in answer["refused"]:
            told[one["index"]] = one["reason"]
        assert (status, told) == (200, expected)
        kept += told.count(None)
    assert kept > 0
