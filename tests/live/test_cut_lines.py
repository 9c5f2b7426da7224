"""Screens on real sockets that are cut off at random, while drivers move, pause and resume."""

import asyncio
import json
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from aiohttp import ClientSession

from tests.http import Clock
from tests.live.screens import act, screen, upload
from tests.world import World

CUTS = 15
NAP_S = 0.1


Shown: TypeAlias = tuple[str, int]
"""A position's time, and the counter under which it was shown: a new one shows it anew."""


def shown(data: dict[str, Any]) -> list[Shown]:
    return [(row["fix_at"], row["epoch"]) for row in data["drivers"]]


@dataclass
class CutScreen:
    """Reads whole events from a socket of its own; comes back with the last id it knows."""

    host: str
    port: int
    token: str
    last_event_id: str | None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    positions: list[tuple[int, Shown]] = field(default_factory=list)
    """On which connection, and what."""
    connections: int = 0
    resyncs: int = 0

    async def watch(self, *, bytes_max: int) -> None:
        """Take at most so many bytes of the stream, then reset the connection."""
        self.connections += 1
        reader, writer = await asyncio.open_connection(self.host, self.port)
        again = "" if self.last_event_id is None else f"Last-Event-ID: {self.last_event_id}\r\n"
        writer.write(
            f"GET /v1/stream HTTP/1.0\r\nHost: {self.host}\r\n{again}"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )
        left = b""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.splitlines()[0]
            while bytes_max > 0 and (some := await reader.read(bytes_max)):
                bytes_max -= len(some)
                *blocks, left = (left + some).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode())
        finally:
            found = writer.get_extra_info("socket")
            # A reset, as of a phone that lost its network: nothing is said.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _take(self, block: str) -> None:
        if block.startswith(":"):
            return
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        self.last_event_id = fields.get("id", self.last_event_id)
        data = json.loads(fields["data"])
        if fields["event"] == "pos":
            self.positions += [(self.connections, one) for one in shown(data)]
        elif fields["event"] == "resync":
            self.resyncs += 1
        elif fields["event"] != "hello":
            self.events.append((fields["id"], data))


async def watch_for(cut: CutScreen, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await cut.watch(bytes_max=1_000_000)


async def test_a_screen_that_loses_its_line_at_random_misses_no_event_and_repeats_no_position(
    client: ClientSession, world: World, dispatcher: str, clock: Clock
) -> None:
    dice = random.Random(20_261_123)  # noqa: S311 - no secret
    async with client.get("/v1/live") as answer:
        host, port = answer.url.host, answer.url.port
    assert host is not None
    assert port is not None
    driver = await world.driver_session()
    cut = CutScreen(host=host, port=port, token=dispatcher)
    told_before: dict[int, set[Shown]] = {}
    async with screen(client, dispatcher) as whole:
        await watch_for(cut, 0.5)
        assert cut.last_event_id is not None
        while cut.connections < CUTS:
            # What the others were told by now is old for whoever comes back.
            told_before[cut.connections + 1] = {
                one for event in whole.events if event.name == "pos" for one in shown(event.data)
            }
            watching = asyncio.create_task(cut.watch(bytes_max=dice.randrange(1, 1_500)))
            for what in ("shift/pause", "shift/resume"):
                clock.at += timedelta(seconds=1)
                await upload(client, world.driver, clock.at)
                await asyncio.sleep(dice.uniform(0, NAP_S))
                await act(client, driver, what)
                await asyncio.sleep(dice.uniform(0, NAP_S))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await asyncio.sleep(0.5)  # so that the last was told to both
        await watch_for(cut, 0.5)
        expected = [
            (event.event_id, event.data)
            for event in whole.events
            if event.event_id is not None and event.name not in ("hello", "resync")
        ]

    assert len(expected) > CUTS
    assert cut.events == expected
    assert cut.resyncs == 0
    for connection, one in cut.positions:
        assert one not in told_before.get(connection, set())
