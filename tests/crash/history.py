"""What a phone lived through, and what may be found of it afterwards. Pure: no clock, no socket.

A phone notes when it asked and when it was answered, by one clock for the whole run. Afterwards
what can be read is compared with that, position by position. A stop (a pause, the end of a shift,
a withdrawal) is surely in force from its answer until it is asked to share again; what lies between
a question and its answer may be judged either way, and is left out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

EXAMPLES_MAX: Final = 5
COLUMNS: Final = (
    "lat",
    "lon",
    "accuracy_m",
    "speed_mps",
    "heading_deg",
    "altitude_m",
    "battery_pct",
)
SCALES: Final = np.array([1e7, 1e7, 10, 100, 10, 10, 1])
"""What a column's values are multiplied by to be whole: what is stored loses nothing more."""


@dataclass(frozen=True, slots=True, eq=False)
class Fixes:
    """Positions: their times, and a row for each of COLUMNS."""

    time_ms: Ints
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.time_ms.size)

    @property
    def whole(self) -> Ints:
        """The values as whole numbers, to be compared."""
        found: Ints = np.rint(self.values * SCALES[:, None]).astype(np.int64)
        return found


class Told(StrEnum):
    """What an upload was told when it was tried."""

    OK = "acknowledged"
    NOTHING = "nothing stored"
    """The answer says that nothing of it was stored."""
    UNKNOWN = "not acknowledged"
    """It may be stored or not: the answer says so, or none came."""
    FAILED = "failed"
    """An answer that there is not. It may be stored or not, too."""


@dataclass(frozen=True, slots=True)
class Try:
    """One time that an upload was sent."""

    began_ms: float
    ended_ms: float
    told: Told
    refused: frozenset[int] = frozenset()
    """The places of positions that are not kept."""
    was_there: bool = False
    """Whether the answer says that it had been stored before."""


@dataclass(slots=True, eq=False)
class Upload:
    """Positions that were sent together, under one batch id, once or again and again."""

    fixes: Fixes
    tries: list[Try] = field(default_factory=list)

    @property
    def must(self) -> Flags:
        """Of each position, whether it was acknowledged."""
        found = np.zeros(len(self.fixes), np.bool_)
        for one in self.tries:
            if one.told is Told.OK:
                kept = np.ones(len(self.fixes), np.bool_)
                kept[list(one.refused)] = False
                found |= kept
        return found

    @property
    def may(self) -> bool:
        """Whether some try may have stored it without a word."""
        return any(one.told in (Told.UNKNOWN, Told.FAILED) for one in self.tries)

    @property
    def is_acknowledged(self) -> bool:
        return any(one.told is Told.OK for one in self.tries)

    @property
    def answer_was_lost(self) -> bool:
        """Whether it was stored, and that answer never came: it was told when sent again."""
        return next((one.was_there for one in self.tries if one.told is Told.OK), False)


class StopKind(StrEnum):
    PAUSE = "pause"
    END = "end of shift"
    WITHDRAW = "withdrawal"


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop: when it was asked for, answered, when sharing was asked for again, and answered.

    From the first question to the last answer some positions of an upload may be refused.
    """

    kind: StopKind
    asked_ms: float
    from_ms: float
    until_ms: float
    again_ms: float
    """Infinity: not answered. A consent given again counts later than it is answered; until then
    no shift is begun, so this is when that was answered."""
    seen_ms: frozenset[int] | None = None
    """After a withdrawal, the times of all that could be read by then; None if that failed."""


@dataclass(slots=True, eq=False)
class Life:
    """All that a phone did, and its driver."""

    driver_id: UUID
    uploads: list[Upload] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)


class Fault(StrEnum):
    """What must never be found."""

    LOST = "acknowledged positions lost"
    DOUBLED = "positions doubled"
    ALTERED = "positions altered"
    INVENTED = "positions that nobody sent, or that were refused"
    CLOSED = "positions from closed windows"
    LATE = "positions stored after a withdrawal"
    PARTLY = "uploads stored in part"
    KEPT = "positions kept too long"


@dataclass(slots=True)
class Verdict:
    """What the comparison found; of each fault some examples, by driver and time alone."""

    acknowledged: int = 0
    forgotten: int = 0
    """Acknowledged ones that were kept long enough: they may be gone."""
    unknown: int = 0
    """Positions that were never acknowledged and may be stored."""
    unknown_stored: int = 0
    read: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, list[str]] = field(default_factory=dict)

    def blame(self, fault: Fault, driver_id: UUID, times_ms: Sequence[int]) -> None:
        if not times_ms:
            return
        self.faults[fault] += len(times_ms)
        listed = self.examples.setdefault(fault, [])
        listed += [f"{driver_id} at {at}" for at in times_ms[: EXAMPLES_MAX - len(listed)]]


def judge(
    lives: Iterable[tuple[Life, Fixes]],
    *,
    forgotten_before_ms: float = 0,
    gone_before_ms: float = 0,
) -> Verdict:
    """Compare what each phone lived through with what is read of its driver now.

    What is older than ``forgotten_before_ms`` may be gone, as it was kept long enough; what is
    older than ``gone_before_ms`` has to be.
    """
    verdict = Verdict()
    for life, read in lives:
        _judge_one(verdict, life, read, forgotten_before_ms)
        too_old = read.time_ms < gone_before_ms
        verdict.blame(Fault.KEPT, life.driver_id, read.time_ms[too_old].tolist())
    return verdict


def _judge_one(verdict: Verdict, life: Life, read: Fixes, forgotten_before_ms: float) -> None:
    verdict.read += len(read)
    if not life.uploads:
        verdict.blame(Fault.INVENTED, life.driver_id, read.time_ms.tolist())
        return
    sizes = [len(one.fixes) for one in life.uploads]
    time_ms = np.concatenate([one.fixes.time_ms for one in life.uploads])
    order = np.argsort(time_ms, kind="stable")
    place, is_sent = _places(time_ms[order], read.time_ms)
    sent = order[place[is_sent]]  # of each position read that was sent, its place in what was sent
    times_read = np.bincount(sent, minlength=time_ms.size)
    stored = times_read > 0
    must = np.concatenate([one.must for one in life.uploads])
    may = np.repeat([one.may for one in life.uploads], sizes)
    whole = np.concatenate([one.fixes.whole for one in life.uploads], axis=1)
    altered = (whole[:, sent] != read.whole[:, is_sent]).any(axis=0)
    remembered = time_ms >= forgotten_before_ms

    def blame(fault: Fault, where: Flags) -> None:
        verdict.blame(fault, life.driver_id, time_ms[where].tolist())

    verdict.acknowledged += int(must.sum())
    verdict.forgotten += int((must & ~remembered).sum())
    verdict.unknown += int((may & ~must).sum())
    verdict.unknown_stored += int((may & ~must & stored).sum())
    blame(Fault.LOST, must & ~stored & remembered)
    blame(Fault.DOUBLED, times_read > 1)
    blame(Fault.INVENTED, stored & ~must & ~may)
    verdict.blame(Fault.INVENTED, life.driver_id, read.time_ms[~is_sent].tolist())
    verdict.blame(Fault.ALTERED, life.driver_id, time_ms[sent[altered]].tolist())
    blame(Fault.CLOSED, stored & _closed(life.stops, time_ms))
    blame(Fault.LATE, stored & np.concatenate([_late(life.stops, one) for one in life.uploads]))
    _blame_parts(verdict, life, stored, remembered)


def _places(sent_ms: Ints, read_ms: Ints) -> tuple[NDArray[np.intp], Flags]:
    """Return where each time that was read stands among the sent ones, and whether it does."""
    place = np.minimum(np.searchsorted(sent_ms, read_ms), sent_ms.size - 1)
    return place, sent_ms[place] == read_ms


def _closed(stops: Sequence[Stop], time_ms: Ints) -> Flags:
    """Return of each time whether it lies where surely no window was open."""
    found = np.zeros(time_ms.size, np.bool_)
    for stop in stops:
        found |= (time_ms > stop.from_ms) & (time_ms < stop.until_ms)
    return found


def _late(stops: Sequence[Stop], upload: Upload) -> Flags:
    """Return of each position whether a withdrawal forbids to store it.

    It was recorded before consent was asked for again; and it was first sent after the withdrawal
    was answered, or could not be read by then: so it was stored later.
    """
    found = np.zeros(len(upload.fixes), np.bool_)
    first_ms = min((one.began_ms for one in upload.tries), default=0.0)
    for stop in stops:
        if stop.kind is not StopKind.WITHDRAW:
            continue
        before = upload.fixes.time_ms < stop.until_ms
        if first_ms > stop.from_ms:
            found |= before
        elif stop.seen_ms is not None:
            found |= before & ~np.isin(upload.fixes.time_ms, list(stop.seen_ms))
    return found


def _blame_parts(verdict: Verdict, life: Life, stored: Flags, remembered: Flags) -> None:
    """An upload that no stop came near is one row: it is there, or it is not."""
    ends = np.cumsum([len(one.fixes) for one in life.uploads]).tolist()
    for upload, end in zip(life.uploads, ends, strict=True):
        mine = slice(end - len(upload.fixes), end)
        if upload.is_acknowledged or not remembered[mine].all() or not stored[mine].any():
            continue
        if not stored[mine].all() and not _is_met(life.stops, upload):
            verdict.blame(Fault.PARTLY, life.driver_id, [int(upload.fixes.time_ms[0])])


def _is_met(stops: Sequence[Stop], upload: Upload) -> bool:
    """Tell whether a stop was in force, or it or its end under way, since the first position."""
    first_ms = float(upload.fixes.time_ms.min())
    last_ms = max(one.ended_ms for one in upload.tries)
    return any(stop.asked_ms <= last_ms and stop.again_ms >= first_ms for stop in stops)
