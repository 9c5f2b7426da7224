"""Phones by the clock: what they do when the server is slow, refuses, or is not there."""

import asyncio
import time
from collections import Counter

import pytest

from bench.http1 import Origin
from bench.phones import Fleet, Schedule, Step
from bench.tracks import Track
from server.uploads.wire import parse_upload
from tests.bench.test_http1 import BODY, PLAIN, Handler, read_request, serving

BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0.2\r\nContent-Length: 0\r\n\r\n"
UNKNOWN = b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n"
WITHDRAWN = BODY[:-1] + b',"consent":"withdrawn","collect":false,"purge":true}'
STOP = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(WITHDRAWN), WITHDRAWN)


class Server:
    """Answers each upload with the next of its answers, the last for ever."""

    def __init__(self, *answers: bytes, first_takes_s: float = 0) -> None:
        self._answers = list(answers)
        self._first_takes_s = first_takes_s
        self.bodies: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.bodies.append(await read_request(reader))
            wait_s, self._first_takes_s = self._first_takes_s, 0
            await asyncio.sleep(wait_s)
            writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


def fleet(origin: Origin, *, uploads: int, every_s: float, patient: bool) -> Fleet:
    schedule = Schedule(
        steps=(Step(1 / every_s, uploads * every_s),),
        size=1,
        began_ms=1_700_000_000_000,
        span_ms=1000 * every_s,
    )
    track = Track(1, size=1, shape="columns", step_s=1)
    return Fleet(origin, schedule, ["jd_token"], [track], patient=patient)


async def driven(handler: Handler, *, uploads: int, every_s: float, patient: bool = True) -> Fleet:
    async with serving(handler) as origin:
        phones = fleet(origin, uploads=uploads, every_s=every_s, patient=patient)
        await phones.run()
        await phones.finish(3)
    return phones


async def test_an_upload_that_waits_is_timed_from_when_it_was_due() -> None:
    server = Server(PLAIN, first_takes_s=0.4)

    phones = await driven(server.handle, uploads=4, every_s=0.1)

    assert phones.tally.stored == 4
    waited = sorted(phones.tally.stored_ms)
    assert waited[-1] >= 390
    # Due 0.1, 0.2 and 0.3 s later, and sent only when the first was answered.
    assert [one >= least for one, least in zip(waited, (90, 190, 290, 390), strict=True)] == [
        True
    ] * 4


async def test_a_patient_phone_sends_the_same_upload_again_when_it_may() -> None:
    server = Server(BUSY, PLAIN)
    began_s = time.monotonic()

    phones = await driven(server.handle, uploads=1, every_s=0.05)

    assert phones.tally.statuses == Counter({"503": 1, "200": 1})
    assert server.bodies[0] == server.bodies[1]
    assert time.monotonic() - began_s >= 0.2
    assert phones.phones[0].missing == []


async def test_a_phone_of_the_bench_sends_nothing_again() -> None:
    server = Server(BUSY, PLAIN)

    phones = await driven(server.handle, uploads=2, every_s=0.05, patient=False)

    assert phones.tally.statuses == Counter({"503": 1, "200": 1})
    assert phones.phones[0].missing == [0]


@pytest.mark.parametrize("answer", [STOP, UNKNOWN], ids=["withdrawn", "unknown"])
async def test_a_phone_that_is_told_to_stop_sends_nothing_more(answer: bytes) -> None:
    server = Server(answer)

    phones = await driven(server.handle, uploads=5, every_s=0.05)

    assert len(server.bodies) == 1
    assert phones.phones[0].stopped


async def test_an_upload_that_was_cut_off_is_sent_again() -> None:
    server = Server(PLAIN)
    cut_off: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not cut_off:
            cut_off.append(await read_request(reader))
            return
        await server.handle(reader, writer)

    phones = await driven(handler, uploads=1, every_s=0.05)

    assert (phones.tally.cut_off, phones.tally.stored) == (1, 1)
    assert server.bodies == cut_off


async def test_an_answer_that_ends_the_connection_cuts_nothing_off() -> None:
    server = Server(PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), first_takes_s=0.3)

    phones = await driven(server.handle, uploads=4, every_s=0.05)

    assert (phones.tally.stored, phones.tally.cut_off) == (4, 0)
    assert len(set(server.bodies)) == len(server.bodies) == 4


async def test_who_is_not_let_in_does_not_press() -> None:
    knocks = 0

    async def handler(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1

    phones = await driven(handler, uploads=10, every_s=0.1)

    assert 2 <= knocks <= 8
    assert phones.tally.stored == 0


@pytest.mark.parametrize("shape", ["objects", "columns"])
def test_a_track_goes_on_with_the_times_that_it_is_given(shape: str) -> None:
    track = Track(7, size=10, shape="columns" if shape == "columns" else "objects", step_s=3)
    first_ms = 1_763_000_000_123

    uploads = [parse_upload(track.body(number, first_ms)) for number in (0, 1, 59, 60)]

    for upload in uploads:
        assert upload.positions.time_ms.tolist() == [first_ms + 3000 * place for place in range(10)]
    lat = [upload.positions.values[0].tolist() for upload in uploads]
    assert lat[0] == lat[3]  # the drive begins anew
    assert lat[0] != lat[1] != lat[2]
