"""Proof: no position is kept that was truly recorded when it must not be, and hardly one refused.

Each position is judged three times: by the server's own code, by an oracle written from the
document, and by the truth, which only the generator knows. The controls are the same code with a
part of the rule left out, and must be found. ``SIZE=smoke`` for a short run.
"""

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from unittest.mock import patch
from uuid import UUID

import numpy as np

from server.devices.model import NoticeStanding
from server.gate.model import Gate, Reach, Source, Window
from server.tracking.model import SOURCES, Positions
from server.uploads import acceptance
from server.uploads.acceptance import terms_of
from server.uploads.beliefs import Belief, CompanyRules
from server.uploads.model import CLOCK_OFFSET_MAX_S, AppState, ConsentAnswer, Upload
from server.uploads.service import judge
from tests.proofs import Progress, Report, Row, at_most, ended, size
from tests.uploads.lives import DAY, HOUR, Case, Phone, hostile, working_days
from tests.uploads.oracle import MINUTE, SECOND, Rules, Sent, rightly_kept, verdicts

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REFUSED_SHARE_MAX: Final = 0.001
SKEW_MAX: Final = 5 * SECOND
UPLOADS_OF_A_LIFE: Final = 40
CODES: Final = {None: 0} | {name.value: 1 + place for place, name in enumerate(SOURCES)}
APP_STATES: Final = {
    None: AppState.UNKNOWN,
    "foreground": AppState.FOREGROUND,
    "background": AppState.BACKGROUND,
}


LIMIT: Final = timedelta(seconds=CLOCK_OFFSET_MAX_S)


def _untold(error: int, *, late: int = 0) -> Phone:
    return Phone(error=error, told=False, late=late, records_off_shift=True)


UNPROVED: Final[Mapping[str, Phone]] = {
    **{
        f"no sent_at, clock {sign} by {name}": _untold(error if sign == "fast" else -error)
        for name, error in (
            ("5 s", 5 * SECOND),
            ("1 min", MINUTE),
            ("10 min", 10 * MINUTE),
            ("1 h", HOUR),
            ("1 day", DAY),
        )
        for sign in ("slow", "fast")
    },
    "no sent_at, sent 2 h later, clock fast by 1 h": _untold(HOUR, late=2 * HOUR),
    "sent_at, one minute on the way, clock fast by 1 min": Phone(
        error=MINUTE, transit_max=MINUTE, transit_min=MINUTE, records_off_shift=True
    ),
    "sent_at, clock set back by 10 min before sending": Phone(
        error=10 * MINUTE, set_by=10 * MINUTE, late=HOUR, records_off_shift=True
    ),
}
"""Phones that record round the clock, and are wrong in a way that nobody can see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Positions; days of each phone of which only a share is measured."""

    hostile: int
    untold: int
    ordinary: int
    control: int
    days: int


SIZES: Final = {
    "smoke": Sizes(hostile=6_000, untold=2_000, ordinary=6_000, control=6_000, days=1),
    "full": Sizes(hostile=500_000, untold=100_000, ordinary=400_000, control=50_000, days=10),
}

Change = Callable[[Upload, int], Upload]
"""What a control does to an upload (and when it was received) before it is judged."""


def as_it_came(upload: Upload, _received_at: int) -> Upload:
    return upload


def by_raw_time(upload: Upload, received_at: int) -> Upload:
    """Let the server see the phone's own time only, unless the clock is off by minutes."""
    if upload.sent_at is None:
        return upload
    error = moment(received_at) - upload.sent_at
    return upload if abs(error) > LIMIT else replace(upload, sent_at=None)


def moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def gate_of(rules: Rules) -> Gate:
    def since(us: int | None) -> datetime | None:
        return None if us is None else moment(us)

    return Gate(
        company_id=UUID(int=1),
        driver_id=UUID(int=2),
        account_active=rules.account_active,
        location_since=since(rules.location_since),
        dispatch_since=since(rules.dispatch_since),
        plan_fact_since=since(rules.plan_fact_since),
        epoch=1,
        rev=1,
        credential_epoch=0,
        key_epoch=0,
        closing=False,
        reach=Reach(sources=frozenset(map(Source, rules.sources)), background=rules.background),
    )


def belief_of(rules: Rules) -> Belief:
    gate = gate_of(rules)
    return Belief(
        company_id=gate.company_id,
        driver_id=gate.driver_id,
        device_id=UUID(int=3),
        device_number=0,
        gate=gate,
        rules=CompanyRules(buffer_max_s=rules.buffer_max // SECOND, device_notice=None),
        consent=ConsentAnswer.GIVEN,
        notice=NoticeStanding(acknowledged=True, until=None),
        terms=terms_of(
            gate,
            tuple(Window(opened_at=moment(start), end=moment(end)) for start, end in rules.windows),
            buffer_max_s=rules.buffer_max // SECOND,
            now=EPOCH,
        ),
        until=0,
    )


def upload_of(sent: Sent) -> Upload:
    return Upload(
        positions=Positions(
            time_ms=np.array([fix.recorded_at // 1_000 for fix in sent.fixes], np.int64),
            values=np.zeros((7, len(sent.fixes))),
            flags=np.array([CODES[fix.source] for fix in sent.fixes], np.uint8),
        ),
        sent_at=None if sent.sent_at is None else moment(sent.sent_at),
        app_state=np.array([APP_STATES[fix.app_state] for fix in sent.fixes], np.uint8),
    )


def judged(rules: Rules, sent: Sent, change: Change) -> list[str | None]:
    """Return what the server's code says of each position."""
    upload = change(upload_of(sent), sent.received_at)
    found = judge(belief_of(rules), upload, moment(sent.received_at))
    told: list[str | None] = [None] * len(sent.fixes)
    for one in found.refused:
        told[one.place] = one.reason.value
    kept = [] if found.kept is None else found.kept.time_ms.tolist()
    assert kept == [
        fix.recorded_at // 1_000 for fix, why in zip(sent.fixes, told, strict=True) if why is None
    ]
    return told


@dataclass(slots=True, kw_only=True)
class Found:
    positions: int = 0
    disagreeing: int = 0
    """With the oracle."""
    kept: int = 0
    """Of those whose true time is known; so are the following."""
    wrongly_kept: int = 0
    rightful: int = 0
    """That might have been kept."""
    wrongly_refused: int = 0

    @property
    def wrong_share(self) -> float:
        return self.wrongly_kept / self.kept if self.kept else 0.0

    @property
    def refused_share(self) -> float:
        return self.wrongly_refused / self.rightful if self.rightful else 0.0


def compare(cases: Iterable[Case], positions_max: int, change: Change = as_it_came) -> Found:
    """Judge until so many positions were."""
    found = Found()
    for case in cases:
        expected = verdicts(case.rules, case.sent)
        told = judged(case.rules, case.sent, change)
        found.positions += len(told)
        found.disagreeing += sum(a != b for a, b in zip(told, expected, strict=True))
        for fix, truth, why in zip(case.sent.fixes, case.recorded_at, told, strict=True):
            if truth is None:
                continue
            right = rightly_kept(case.life, fix, truth, case.sent.received_at)
            found.rightful += right
            found.kept += why is None
            found.wrongly_kept += why is None and not right
            found.wrongly_refused += why is not None and right
        if found.positions >= positions_max:
            break
    return found


def hostile_lives(seed: int, *, told: bool) -> Iterator[Case]:
    rng = random.Random(seed)  # noqa: S311 - no secret
    while True:
        yield from hostile(rng, uploads=UPLOADS_OF_A_LIFE, told=told)


def ordinary_lives(seed: int) -> Iterator[Case]:
    rng = random.Random(seed)  # noqa: S311 - no secret
    while True:
        phone = Phone(error=rng.randint(-SKEW_MAX, SKEW_MAX) // 1_000 * 1_000)
        yield from working_days(rng, phone, days=3)


def prove(sizes: Sizes, seed: int = 3) -> Report:
    report = Report(name="acceptance")
    progress = Progress("acceptance", 5 + len(UNPROVED))

    def run(cases: Iterable[Case], positions: int, change: Change = as_it_came) -> Found:
        found = compare(cases, positions, change)
        progress.step()
        return found

    told = run(hostile_lives(seed, told=True), sizes.hostile)
    untold = run(hostile_lives(seed, told=False), sizes.untold)
    days = run(ordinary_lives(seed), sizes.ordinary)
    _say_proved(report, told, untold, days)
    raw = run(hostile_lives(seed, told=True), sizes.control, by_raw_time)
    with patch.object(acceptance, "TRANSIT_US_MAX", 0):
        instant = run(hostile_lives(seed, told=True), sizes.control)
    _say_controls(report, raw, instant)
    for name, phone in UNPROVED.items():
        rng = random.Random(seed)  # noqa: S311 - no secret
        found = run(working_days(rng, phone, days=sizes.days), sys.maxsize)
        _say_unproved(report, name, found)
    return report


def _say_proved(report: Report, told: Found, untold: Found, days: Found) -> None:
    everything = told.positions + untold.positions + days.positions
    disagreeing = told.disagreeing + untold.disagreeing + days.disagreeing
    _must_be_none(report, "judged otherwise than by the oracle", disagreeing, of=everything)
    _must_be_none(report, "wrongly kept, hostile lives", told.wrongly_kept, of=told.kept)
    _must_be_none(report, "wrongly kept, working days", days.wrongly_kept, of=days.kept)
    report.add(
        at_most(
            "share wrongly refused, clocks within 5 s",
            days.refused_share,
            REFUSED_SHARE_MAX,
            note=f"{days.wrongly_refused} of {days.rightful} positions of working days",
        )
    )


def _must_be_none(report: Report, figure: str, value: int, *, of: int) -> None:
    report.add(
        Row(figure=figure, value=value, target="= 0", met=value == 0, note=f"of {of} positions")
    )


def _say_controls(report: Report, raw: Found, instant: Found) -> None:
    for name, found in (
        ("judged by the phone's own time alone", raw),
        ("no allowance for the way", instant),
    ):
        report.add(
            Row(
                figure=f"wrongly kept, control: {name}",
                value=found.wrongly_kept,
                target="> 0",
                met=found.wrongly_kept > 0 and found.disagreeing > 0,
                control=found.wrongly_kept,
                note=f"of {found.kept}; {found.disagreeing} judged otherwise than by the oracle",
            )
        )


def _say_unproved(report: Report, name: str, found: Found) -> None:
    report.add(
        Row(
            figure=f"share wrongly kept, {name}",
            value=float(f"{found.wrong_share:.2g}"),
            note=f"{found.wrongly_kept} of {found.kept} kept; "
            f"refused {found.refused_share:.2%} of what might be kept",
        )
    )


if __name__ == "__main__":
    sys.exit(ended(prove(SIZES[size()])))
