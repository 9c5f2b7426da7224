"""What one company's screens were told, and who sits at them."""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from server.alerts.model import Standing
from server.gate.handover import Viewing
from server.live.model import Changes, Event, Fixes, Picture, Sight, Topic, topic_of

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

    seen: Viewing
    """Writes down whom they see, before they do."""
    digest: bytes | None
    """Of the token they were let in with; None is not asked again."""
    topics: frozenset[Topic] = frozenset({Topic.LIVE})
    written: Written | None = None
    """What was written down last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the screens are sent at once."""

    events: Mapping[Topic, bytes]
    """For every screen that asks for the topic: without any position."""
    moves: bytes
    """Only for those whose look was written down."""

    def chunk(self, topics: Collection[Topic], *, with_moves: bool) -> bytes:
        """Return what of it is for a screen."""
        events = b"".join(self.events[topic] for topic in Topic if topic in topics)
        return events + self.moves if with_moves else events


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
        self.fixes: Fixes = {}
        """Who could be shown where in the last tick; nothing while nobody watches."""
        self.shown: frozenset[UUID] = frozenset()
        """Whose looks were written down last: the same object as long as they are the same."""
        self.ready = asyncio.Event()
        """There is a picture, and it is being kept."""
        self.hinted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._number = 0
        self._kept: deque[tuple[int, Topic, bytes]] = deque(maxlen=EVENTS_KEPT_MAX)

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

        Nothing here waits, so no event comes between. Positions are never among what was missed.
        """
        here = self._id(self._number)
        missed = self._missed(last_event_id, seat.topics)
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

    def encode(self, encoder: Encoder, told: Changes, *, now: datetime) -> Frame:
        """Return one frame: events with their ids, kept for resuming; then the moves."""
        events = dict.fromkeys(Topic, b"")
        for event in told.events:
            self._number += 1
            topic, encoded = topic_of(event), encoder.event(self._id(self._number), event)
            self._kept.append((self._number, topic, encoded))
            events[topic] += encoded
        moves = encoder.moves(told.moves, now=now) if told.moves else b""
        return Frame(events=events, moves=moves)

    def _id(self, number: int) -> str:
        return f"{self.stream_id}-{number}"

    def _missed(self, last_event_id: str | None, topics: Collection[Topic]) -> list[bytes] | None:
        """Return the topics' events after that id; None if they are not all here."""
        stream_id, _, text = (last_event_id or "").partition("-")
        if stream_id != self.stream_id or _EVENT_NUMBER.fullmatch(text) is None:
            return None
        after = int(text)
        missed = [one for one in self._kept if one[0] > after]
        if after + len(missed) != self._number:
            return None
        return [encoded for _, topic, encoded in missed if topic in topics]
