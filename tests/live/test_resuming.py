"""Who comes back with ``Last-Event-ID``: told everything they missed, and no position again."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import pytest

from server.kit.ids import uuid7
from server.live.channel import EVENTS_KEPT_MAX, Channel, Encoder, Frame, Seat
from server.live.model import Changes, Event, Gone, Picture, Sight, Signal, Topic, Work
from server.live.wire import EventStream
from server.tracking.model import LatestPosition
from tests.world import NOW

STREAM = EventStream(heartbeat_s=15.0)
NOBODY = Picture(told={}, states={})
DRIVERS = [uuid7() for _ in range(3)]
CHECKED_AT_RANDOM = 60


@dataclass(eq=False)
class Recorder:
    """A screen's end of the connection: every byte that was sent."""

    sent: bytes = b""

    def send(self, chunk: bytes, *, until: float | None = None) -> None:
        _ = until
        self.sent += chunk

    def unsent_bytes(self) -> int:
        return 0

    def drop(self) -> None:
        return

    def is_gone(self) -> bool:
        return False


@dataclass
class Client:
    """What a screen knows that takes only whole events, and comes back with the last id."""

    last_event_id: str | None = None
    events: list[tuple[str, str]] = field(default_factory=list)
    positions: int = 0
    resyncs: int = 0

    def read(self, stream: bytes) -> None:
        *blocks, _cut_off = stream.decode().split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            self.last_event_id = fields.get("id", self.last_event_id)
            match fields["event"]:
                case "pos":
                    self.positions += len(json.loads(fields["data"])["drivers"])
                case "resync":
                    self.resyncs += 1
                case "hello":
                    pass
                case _:
                    self.events.append((fields["id"], fields["data"]))


class KeepsPositions(Channel):
    """The control: what it keeps for those who come back includes the positions."""

    def encode(self, encoder: Encoder, told: Changes, *, now: object) -> Frame:
        frame = super().encode(encoder, told, now=now)  # type: ignore[arg-type]  # a datetime, as there
        moves = b"".join(part.written for part in frame.parts if part.is_look)
        if moves and self._kept:
            number, topic, encoded = self._kept.pop()
            self._kept.append((number, topic, (encoded or b"") + moves))
        return frame


def channel_of(kind: type[Channel] = Channel) -> Channel:
    return kind(uuid7(), idle_since=0.0)


def admit(channel: Channel, screen: Recorder, last_event_id: str | None = None) -> None:
    seat = Seat(looks={Topic.LIVE: None}, digest=None)
    channel.admit(screen, STREAM, seat, last_event_id=last_event_id, now=NOW)


def tell(channel: Channel, events: Sequence[Event], moves: Sequence[Sight]) -> None:
    told = Changes(events=tuple(events), moves=tuple(moves), after=NOBODY)
    frame = channel.encode(STREAM, told, now=NOW)
    for screen in tuple(channel.watchers):
        screen.send(frame.chunk((Topic.LIVE,), with_looks=True))


def sight(driver_id: UUID, second: int) -> Sight:
    return Sight(
        driver_id=driver_id,
        signal=Signal.LIVE,
        work=Work.DRIVING if second % 2 else Work.IDLE,
        route_id=None,
        vehicle_id=None,
        epoch=second,
        shared=True,
        driven_since=None,
        position=LatestPosition(
            driver_id=driver_id,
            recorded_at=NOW + timedelta(seconds=second),
            lat=43.2,
            lon=76.9,
            accuracy_m=None,
            speed_mps=None,
            heading_deg=None,
            epoch=1,
        ),
    )


def a_morning(channel: Channel, *, frames: int = 6) -> None:
    """Tell of drivers who move, change, and are gone."""
    for second in range(frames):
        driver_id = DRIVERS[second % len(DRIVERS)]
        here = sight(driver_id, second)
        hidden = replace(here, signal=Signal.NOT_SHARED, work=None, shared=False, position=None)
        if second % 3 == 2:
            tell(channel, [Gone(driver_id=driver_id, epoch=second), hidden], [])
        else:
            tell(channel, [here], [here, sight(DRIVERS[0], second)])


def cut_at(
    place: int, *, kind: type[Channel], again: Sequence[int] = ()
) -> tuple[Client, list[tuple[str, str]], bytes]:
    """Cut a screen off after so many bytes, let it come back, cut it off again, and so on.

    Returns what it knows, what it should know, and what it was sent as it came back.
    """
    channel, whole, screen = channel_of(kind), Client(), Recorder()
    witness = Recorder()
    admit(channel, witness)
    admit(channel, screen)
    a_morning(channel)
    client = Client()
    client.read(screen.sent[:place])
    replayed = b""
    for bytes_taken in (*again, None):
        channel.watchers.pop(screen, None)
        screen = Recorder()
        admit(channel, screen, client.last_event_id)
        replayed += screen.sent
        client.read(screen.sent[:bytes_taken])
    whole.read(witness.sent)
    return client, whole.events, replayed


def bytes_of_a_morning() -> int:
    channel, screen = channel_of(), Recorder()
    admit(channel, screen)
    a_morning(channel)
    return len(screen.sent)


def greeted(channel: Channel) -> int:
    screen = Recorder()
    admit(channel, screen)
    return len(screen.sent)


def test_a_screen_cut_off_after_any_byte_misses_no_event_and_gets_no_position_again() -> None:
    for place in range(greeted(channel_of()), bytes_of_a_morning() + 1):
        client, everything, replayed = cut_at(place, kind=Channel)

        assert client.events == everything, place
        assert b"event: pos" not in replayed, place
        assert client.resyncs == 0


def test_a_screen_cut_off_again_and_again_misses_no_event() -> None:
    dice = random.Random(20_261_123)  # noqa: S311 - no secret
    length, first = bytes_of_a_morning(), greeted(channel_of())
    for _ in range(CHECKED_AT_RANDOM):
        again = [dice.randrange(length) for _ in range(dice.randrange(1, 6))]
        client, everything, replayed = cut_at(
            dice.randrange(first, length), kind=Channel, again=again
        )

        assert client.events == everything
        assert b"event: pos" not in replayed


def test_the_check_finds_a_stream_that_keeps_positions() -> None:
    found = [
        place
        for place in range(greeted(channel_of()), bytes_of_a_morning())
        if b"event: pos" in cut_at(place, kind=KeepsPositions)[2]
    ]

    assert found


def test_a_screen_that_was_cut_off_in_its_greeting_reads_the_snapshot() -> None:
    for place in range(greeted(channel_of())):
        client, _, _ = cut_at(place, kind=Channel)

        # It has no id yet: it is greeted anew, and what was before is in the snapshot.
        assert (client.events, client.resyncs) == ([], 0)
        assert client.last_event_id is not None


@pytest.mark.parametrize(("missed", "resyncs"), [(EVENTS_KEPT_MAX, 0), (EVENTS_KEPT_MAX + 1, 1)])
def test_whoever_missed_more_than_is_kept_is_told_so(missed: int, resyncs: int) -> None:
    channel, before, after = channel_of(), Recorder(), Recorder()
    admit(channel, before)
    client = Client()
    client.read(before.sent)
    for number in range(missed):
        tell(channel, [sight(DRIVERS[0], number)], [sight(DRIVERS[0], number)])

    admit(channel, after, client.last_event_id)

    client.read(after.sent)
    assert client.resyncs == resyncs
    assert len(client.events) == (0 if resyncs else missed)
    assert client.positions == 0
