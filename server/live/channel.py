"""What one company's screens were told, and who sits at them."""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from server.alerts.model import Standing
from server.gate.handover import Viewing
from server.live.model import Changes, Event, Fixes, Picture, Sight, Topic, is_look, topic_of
from server.routes.changes import PlanMark
from server.stop_events.model import StopNews

EVENTS_KEPT_MAX: Final = 512
_EVENT_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


class Watcher(Protocol):
    """One open screen. Writing never waits."""

    def send(self, chunk: bytes, *, until: float | None = None) -> None:
        """Send it; nothing of it leaves from ``until`` on (of :func:`time.monotonic`)."""
        ...

    def unsent_bytes(self) -> int:
        """Hand over what the kernel takes now; return how much it has not taken yet."""
        ...

    def drop(self) -> None:
        """Cut the connection and forget what it has not taken. May be called again."""
        ...

    def is_gone(self) -> bool: ...


class Encoder(Protocol):
    """Writes what is told as server-sent events."""

    def hello(self, event_id: str, *, stream_id: str, now: datetime) -> bytes: ...

    def resync(self, event_id: str, reason: str) -> bytes: ...

    def event(self, event_id: str, event: Event) -> bytes: ...

    def moves(self, moves: Sequence[Sight], *, now: datetime) -> bytes: ...


class Written(NamedTuple):
    """A look that is written down: it needs not be again within these minutes."""

    bucket_at: datetime
    drivers: frozenset[UUID]

    def covers(self, bucket_at: datetime, drivers: frozenset[UUID]) -> bool:
        return self.drivers is drivers and self.bucket_at == bucket_at


@dataclass(slots=True, kw_only=True)
class Seat:
    """Who sits at a screen."""

    looks: Mapping[Topic, Viewing | None]
    """What they asked to hear of, and what writes down whom they see there, before they do. None:
    there they see nobody."""
    digest: bytes | None
    """Of the token they were let in with; None is not asked again."""
    written: dict[Topic, Written] = field(default_factory=dict)
    """What was written down last."""


class Part(NamedTuple):
    """A piece of a frame."""

    topic: Topic
    is_look: bool
    """Only for those whose look was written down."""
    written: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the screens are sent at once."""

    parts: Sequence[Part]
    """In the order of their numbers, as the last that a screen has says what it missed."""
    _chunks: dict[tuple[frozenset[Topic], bool], bytes] = field(default_factory=dict)

    def chunk(self, topics: Collection[Topic], *, with_looks: bool) -> bytes:
        """Return what of it is for a screen."""
        of = (frozenset(topics), with_looks)
        if of not in self._chunks:  # once for all screens that ask for the same
            self._chunks[of] = b"".join(
                part.written
                for part in self.parts
                if part.topic in topics and (with_looks or not part.is_look)
            )
        return self._chunks[of]


class Channel:
    """What one company's screens were told, and who is watching."""

    def __init__(self, company_id: UUID, *, idle_since: float) -> None:
        self.company_id = company_id
        self.stream_id = secrets.token_hex(8)
        self.watchers: dict[Watcher, Seat] = {}
        self.joined = 0
        """Screens that are open or about to be."""
        self.idle_since = idle_since
        self.picture: Picture | None = None
        self.standing: Standing = {}
        """The alerts that the screens were told of."""
        self.said: frozenset[UUID] = frozenset()
        """What drivers said of stops since shortly before ``said_at``, as the screens were told."""
        self.said_at: datetime | None = None
        self.plans: Mapping[UUID, PlanMark] = {}
        """The routes of about now, as the screens were told."""
        self.fixes: Fixes = {}
        """Who could be shown where in the last tick; nothing while nobody watches."""
        self.shown: dict[Topic, frozenset[UUID]] = dict.fromkeys(Topic, frozenset())
        """Whom looks were written down at last: the same object as long as they are the same."""
        self.ready = asyncio.Event()
        """There is a picture, and it is being kept."""
        self.hinted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._number = 0
        self._kept: deque[tuple[int, Topic, bytes | None]] = deque(maxlen=EVENTS_KEPT_MAX)
        """With their numbers. None: an alert, which is never told again."""

    def admit(
        self,
        watcher: Watcher,
        encoder: Encoder,
        seat: Seat,
        *,
        last_event_id: str | None,
        now: datetime,
    ) -> None:
        """Greet the screen, give it the events it missed, and tell it everything from now on.

        Nothing here waits, so no event comes between. Positions and alerts are never among what was
        missed: whoever they are about may not share them any more.
        """
        here = self._id(self._number)
        missed = self._missed(last_event_id, seat.looks)
        if last_event_id is None:
            watcher.send(encoder.hello(here, stream_id=self.stream_id, now=now))
        elif missed is None:
            watcher.send(
                encoder.hello(here, stream_id=self.stream_id, now=now)
                + encoder.resync(here, "events_lost")
            )
        else:
            # Under the old id: a screen that is cut off right here asks for them again.
            hello = encoder.hello(last_event_id, stream_id=self.stream_id, now=now)
            watcher.send(hello + b"".join(missed))
        self.watchers[watcher] = seat

    def remember(
        self,
        picture: Picture,
        standing: Standing,
        said: Iterable[StopNews],
        plans: Mapping[UUID, PlanMark],
        now: datetime,
    ) -> None:
        """Take all of it for told, as it was at that time."""
        self.picture, self.standing, self.plans = picture, standing, plans
        self.said, self.said_at = frozenset(one.stop_event_id for one in said), now

    def encode(self, encoder: Encoder, told: Changes, *, now: datetime) -> Frame:
        """Return one frame: events with their ids, kept for resuming, and the moves."""
        parts = []
        for event in told.events:
            self._number += 1
            topic, encoded = topic_of(event), encoder.event(self._id(self._number), event)
            parts.append(Part(topic, is_look(event), encoded))
            self._kept.append((self._number, topic, None if topic is Topic.ALERTS else encoded))
        if told.moves:
            parts.append(Part(Topic.LIVE, is_look=True, written=encoder.moves(told.moves, now=now)))
        return Frame(parts=parts)

    def _id(self, number: int) -> str:
        return f"{self.stream_id}-{number}"

    def _missed(self, last_event_id: str | None, topics: Collection[Topic]) -> list[bytes] | None:
        """Return the topics' events after that id; None if they cannot all be told."""
        stream_id, _, text = (last_event_id or "").partition("-")
        if stream_id != self.stream_id or _EVENT_NUMBER.fullmatch(text) is None:
            return None
        after = int(text)
        missed = [(topic, event) for number, topic, event in self._kept if number > after]
        if after + len(missed) != self._number:
            return None
        heard = [event for topic, event in missed if topic in topics]
        told = [event for event in heard if event is not None]
        return told if len(told) == len(heard) else None
