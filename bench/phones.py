"""Phones that upload at their times, whether or not the server keeps up.

An upload is due when it is due: one that has to wait for the answer to the one before is timed
from that moment all the same. A generator that waited with the server would never see it slow.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.http1 import Answer, Line, Origin, dial
from bench.packing import ENCODINGS, Encoding
from bench.tally import OK, Tally
from bench.tracks import Track

WAITING_MAX: Final = 4
"""Of a phone that does not send again. Then the server is behind by more than shows."""
WAITING_PATIENT_MAX: Final = 100
TICK_S: Final = 0.002
TAKEN_AT_ONCE: Final = 128
HANG_UP_S: Final = 0.05
DIAL_S_MAX: Final = 10.0
DIALS_AT_ONCE: Final = 100
REDIAL_S: Final = (0.2, 5.0)
RETRY_S: Final = (1.0, 60.0)
"""When the server says no time; and the longest it is obeyed for in a run this short."""
TRY_AGAIN: Final = frozenset({429, 503})
PLAIN: Final = ENCODINGS["none"]
FORGOTTEN: Final = frozenset({401, 403})


class Step(NamedTuple):
    """So many uploads a second, for so long."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What the phones send. Phone ``n % phones`` sends upload ``n``."""

    steps: Sequence[Step]
    size: int
    """Positions of each upload."""
    began_ms: int
    """When the first position was recorded."""
    span_ms: float
    """From one upload's first position to that of the same phone's next."""

    def due_s(self) -> Iterator[float]:
        """Yield when each upload is due, from the beginning of the run."""
        began_s = 0.0
        for step in self.steps:
            for number in range(int(step.rate * step.seconds)):
                yield began_s + number / step.rate
            began_s += step.seconds

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def first_ms(self, number: int, place: float) -> int:
        """Return when the first position of a phone's upload of this number was recorded."""
        return self.began_ms + round((number + place) * self.span_ms)


class _Upload(NamedTuple):
    number: int
    due_s: float


class Phone:
    """One driver's phone: one connection, one upload on its way at a time."""

    def __init__(
        self, fleet: "Fleet", place: float, track: Track, head: bytes, *, patient: bool
    ) -> None:
        self._fleet = fleet
        self._place = place
        self._track = track
        self._head = head
        self._patient = patient
        self._waiting: deque[_Upload] = deque()
        self._waiting_max = WAITING_PATIENT_MAX if patient else WAITING_MAX
        self._under_way: _Upload | None = None
        self._sent_s = 0.0
        self._line: Line | None = None
        self._held = False
        self._dialled = 0
        self._loop = asyncio.get_running_loop()
        self.stopped = False
        """Whether the server said that nothing more is to be recorded."""
        self.missing: list[int] = []
        """Uploads of which it is not known that they were stored."""

    def take(self, upload: _Upload) -> None:
        """Send the upload now, or as soon as those before it were answered."""
        if self.stopped:
            return
        tally = self._fleet.tally
        tally.due += 1
        if len(self._waiting) >= self._waiting_max:
            tally.overdue += 1
            self.missing.append(upload.number)
            return
        self._waiting.append(upload)
        self._next()

    @property
    def busy(self) -> bool:
        return self._under_way is not None or bool(self._waiting)

    def close(self) -> None:
        self.missing += [one.number for one in self._waiting]
        self._waiting.clear()
        if self._line is not None:
            self._line.close()

    async def connect(self) -> None:
        self._dialled += 1
        try:
            async with asyncio.timeout(DIAL_S_MAX):
                self._line = await dial(self._fleet.origin, self._answered, self._ended)
        except (OSError, TimeoutError):
            self._redial()
        else:
            self._held = False
            self._next()

    def _redial(self) -> None:
        """Come back later, and later each time: who was not let in is not to press."""
        first_s, most_s = REDIAL_S
        wait_s = min(first_s * 2 ** min(self._dialled, 10), most_s)
        self._hold(wait_s * random.uniform(0.5, 1))  # noqa: S311 - no secret

    def _next(self) -> None:
        if self._held or self._under_way is not None or not self._waiting:
            return
        if self._line is None:
            self._held = True
            self._fleet.dial(self)
            return
        if not self._line.open:  # its end is about to be told
            return
        self._under_way = upload = self._waiting.popleft()
        body = self._track.body(
            upload.number, self._fleet.schedule.first_ms(upload.number, self._place)
        )
        if self._fleet.pack is not None:
            body = self._fleet.pack(body)
        self._sent_s = self._loop.time()
        self._line.send(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def _hold(self, seconds: float) -> None:
        self._held = True
        self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._held = False
        self._next()

    def _answered(self, answer: Answer) -> None:
        upload, self._under_way = self._under_way, None
        if upload is None:  # nobody asked: the connection is of no use
            return
        self._dialled = 0
        now_s = self._loop.time()
        self._fleet.tally.count(
            answer,
            self._fleet.schedule.size,
            due_ms=1000 * (now_s - upload.due_s),
            sent_ms=1000 * (now_s - self._sent_s),
        )
        if answer.status != OK:
            self._refused(upload, answer)
        elif self._patient and b'"collect":false' in answer.body:
            self.stopped = True
            # What it has not sent it drops, told to purge; and without consent it may not send.
            self._waiting.clear()
        self._next()

    def _refused(self, upload: _Upload, answer: Answer) -> None:
        if self._patient and answer.status in TRY_AGAIN:
            self._waiting.appendleft(upload)
            usual_s, most_s = RETRY_S
            with suppress(ValueError):
                usual_s = float(answer.header(b"retry-after") or usual_s)
            self._hold(min(usual_s, most_s) * random.uniform(1, 1.2))  # noqa: S311 - no secret
            return
        self.missing.append(upload.number)
        if self._patient and answer.status in FORGOTTEN:
            self.stopped = True
            self._waiting.clear()

    def _ended(self) -> None:
        self._line = None
        upload, self._under_way = self._under_way, None
        if upload is not None:
            self._fleet.tally.cut_off += 1
            if self._patient and not self._fleet.over:
                self._waiting.appendleft(upload)
            else:
                self.missing.append(upload.number)
        if self._dialled:  # it ended before it ever answered
            self._redial()
        else:
            self._next()


class Fleet:
    """All phones of one run."""

    def __init__(
        self,
        origin: Origin,
        schedule: Schedule,
        tokens: Sequence[str],
        tracks: Sequence[Track],
        *,
        patient: bool = False,
        encoding: Encoding = PLAIN,
    ) -> None:
        self.origin = origin
        self.pack = encoding.pack
        self.schedule = schedule
        self.tally = Tally()
        """Of the stretch since it was last taken."""
        self._dialling: set[asyncio.Task[None]] = set()
        self.over = False
        self.phones = [
            Phone(
                self,
                place / len(tokens),
                tracks[place % len(tracks)],
                _head(origin, token, encoding.headers),
                patient=patient,
            )
            for place, token in enumerate(tokens)
        ]

    def taken(self) -> Tally:
        """Return the tally so far, and begin another."""
        tally, self.tally = self.tally, Tally()
        return tally

    def dial(self, phone: Phone) -> None:
        if self.over:
            return
        task = asyncio.create_task(phone.connect())
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def connect(self) -> None:
        """Connect every phone, some at a time."""
        some = asyncio.Semaphore(DIALS_AT_ONCE)

        async def one(phone: Phone) -> None:
            async with some:
                await phone.connect()

        await asyncio.gather(*(one(phone) for phone in self.phones))

    async def run(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Upload by the schedule; return when the last was due, or once ``stopped`` says so."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        turns = len(self.phones)
        for count, offset_s in enumerate(self.schedule.due_s()):
            due_s = began_s + offset_s
            while (ahead_s := due_s - loop.time()) > 0:
                await asyncio.sleep(min(max(ahead_s, TICK_S), 0.5))
                if stopped():
                    return
            if count % TAKEN_AT_ONCE == 0:  # behind its times it hears the answers all the same
                await asyncio.sleep(0)
                if stopped():
                    return
            self.phones[count % turns].take(_Upload(count // turns, due_s))
        await asyncio.sleep(max(0.0, began_s + self.schedule.seconds - loop.time()))

    async def finish(self, seconds_max: float) -> None:
        """Wait a while for what is on its way; then hang up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                while any(phone.busy for phone in self.phones):  # noqa: ASYNC110 - once, at the end
                    await asyncio.sleep(0.02)
        self.over = True
        for phone in self.phones:
            phone.close()
        await asyncio.sleep(HANG_UP_S)
        for task in self._dialling:
            task.cancel()


def _head(origin: Origin, token: str, headers: Sequence[str]) -> bytes:
    lines = (
        "POST /v1/positions HTTP/1.1",
        f"Host: {origin.authority}",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        *headers,
        "Content-Length: ",
    )
    return "\r\n".join(lines).encode()
