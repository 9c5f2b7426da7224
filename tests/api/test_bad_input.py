"""What no client should send, to every endpoint that reads something: always a refusal."""

import asyncio
import fcntl
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.app import ENDPOINTS
from server.kit.api import Endpoint
from tests.api import samples
from tests.api.asking import (
    CANARY,
    JSON,
    WITH_BODY,
    Answer,
    Stage,
    ask,
    name_of,
    path_of,
    token_for,
)
from tests.api.samples import Place

NUMBERS = (int, float)
MIB = 1024 * 1024
BOMB = gzip.compress(bytes(200 * MIB), compresslevel=9)
RSS_GROWTH_MAX = 64 * MIB
PROCESS = Path("/proc/self/status")
PEAK_RESET = Path("/proc/self/clear_refs")
CONNECTIONS = Path("/proc/net/tcp")
SIOCOUTQNSD = 0x894B
"""Linux: how much of what was written to a socket has not been sent."""
READ_EARLY_MAX = 4 * MIB

CHUNK = b"%x\r\n%s\r\n" % (65_536, b" " * 65_536)

each_with_body = pytest.mark.parametrize("one", WITH_BODY, ids=name_of)
OTHER_TYPES = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/problem+json",
    "application/json; charset=utf-16",
    "application/octet-stream",
    f"{CANARY}/json",
)
WITH_QUERY = tuple(one for one in ENDPOINTS if one.query is not None)
WITH_ID = tuple(one for one in ENDPOINTS if one.parameters)


def bodies_with(kinds: tuple[type, ...]) -> list[Any]:
    """Return each endpoint with a whole body and the places in it of these types."""
    return [
        pytest.param(one, body, found, id=f"{one.name}-{number}")
        for one in WITH_BODY
        for number, body in enumerate(samples.bodies(one))
        if (found := list(samples.places(body, kinds)))
    ]


async def send(stage: Stage, one: Endpoint, data: bytes, **headers: str) -> Answer:
    """Send a body as someone who may call the endpoint."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    token = token_for(one, stage.ours)
    return await ask(stage, one, token=token, data=data, headers={**JSON, **named})


def text_of(one: Endpoint) -> bytes:
    return json.dumps(samples.bodies(one)[0]).encode()


@pytest.mark.parametrize(
    ("one", "content_type"),
    [
        pytest.param(one, content_type, id=f"{one.name}-{content_type}")
        for one in WITH_BODY
        for content_type in OTHER_TYPES
        if content_type not in {media.content_type for media in one.takes}
    ],
)
async def test_another_content_type_is_415(stage: Stage, one: Endpoint, content_type: str) -> None:
    answer = await send(stage, one, text_of(one), Content_Type=content_type)

    assert answer.status == 415


@each_with_body
@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "identity", CANARY])
async def test_another_content_encoding_is_415(stage: Stage, one: Endpoint, encoding: str) -> None:
    answer = await send(stage, one, text_of(one), Content_Encoding=encoding)

    assert answer.status == 415


@pytest.mark.proves("kargo.az:collection-minimise", "relog-service:2.2b")
@each_with_body
async def test_an_unknown_member_is_refused_by_its_place(stage: Stage, one: Endpoint) -> None:
    for body in samples.bodies(one):
        answer = await send(stage, one, json.dumps({**body, "unexpected": CANARY}).encode())

        assert (answer.status, answer.paths) == (422, ["/unexpected"])


@each_with_body
async def test_an_unknown_name_that_may_be_a_secret_is_not_repeated(
    stage: Stage, one: Endpoint
) -> None:
    for body in samples.bodies(one):
        answer = await send(stage, one, json.dumps({**body, CANARY: 1}).encode())

        assert (answer.status, answer.paths) == (422, ["/?"])


@each_with_body
@pytest.mark.parametrize("value", [[], [CANARY], CANARY, 7, 1.5, None, True])
async def test_a_body_of_another_json_type_is_422(
    stage: Stage, one: Endpoint, value: object
) -> None:
    answer = await send(stage, one, json.dumps(value).encode())

    assert answer.status == 422


@each_with_body
async def test_each_place_refuses_another_json_type(stage: Stage, one: Endpoint) -> None:
    for body in samples.bodies(one):
        for at in samples.places(body, (str, int, float)):
            answer = await send(stage, one, json.dumps(samples.put(body, at, {CANARY: 1})).encode())

            assert answer.status == 422, at
            assert any(path.startswith(samples.pointer(at)) for path in answer.paths), at


@pytest.mark.parametrize(("one", "body", "found"), bodies_with(NUMBERS))
@pytest.mark.parametrize("value", [True, False, "1", "kanareika", [1]])
async def test_only_a_number_is_a_number(
    stage: Stage, one: Endpoint, body: Any, found: list[Place], value: object
) -> None:
    for at in found:
        answer = await send(stage, one, json.dumps(samples.put(body, at, value)).encode())

        assert (answer.status, answer.paths) == (422, [samples.pointer(at)])


@pytest.mark.parametrize(("one", "body", "found"), bodies_with(NUMBERS))
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400])
async def test_a_number_that_is_none_is_refused(
    stage: Stage, one: Endpoint, body: Any, found: list[Place], text: str
) -> None:
    for at in found:
        answer = await send(stage, one, samples.written(body, at, text))

        assert answer.status in {400, 422}, at


@pytest.mark.parametrize(("one", "body", "found"), bodies_with((str,)))
@pytest.mark.parametrize(
    "text",
    ["\\u0000", "\\ud800", "\\udfff\\ud800", "\\u202e", "\\u0007", "\\ue000", "\\u2028",
     "x" * 5000, ""],
    ids=["null", "lone", "swapped", "bidi", "bell", "private", "line", "long", "empty"],
)  # fmt: skip
async def test_a_text_that_hides_breaks_or_never_ends_is_refused(
    stage: Stage, one: Endpoint, body: Any, found: list[Place], text: str
) -> None:
    for at in found:
        answer = await send(stage, one, samples.written(body, at, f'"{text}"'))

        assert answer.status in {400, 422}, at


@each_with_body
async def test_a_member_given_twice_is_400(stage: Stage, one: Endpoint) -> None:
    for body in samples.bodies(one):
        text = json.dumps(body)
        for name, value in body.items():
            twice = f'{{"{name}": {json.dumps(value)}, {text[1:]}'
            spelt = f'{{"\\u{ord(name[0]):04x}{name[1:]}": {json.dumps(value)}, {text[1:]}'
            for sent in (twice, spelt):
                answer = await send(stage, one, sent.encode())

                assert (answer.status, answer.problem["code"]) == (400, "json-key-twice"), name


@each_with_body
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{} {}", b'{"a": 1,}', b"{'a': 1}", b"[" * 100_000, b'{"a":' * 20_000,
     b"\xff\xfe{\x00}\x00", b'{"name": "\xc3\x28"}', b"\xef\xbb\xbf{}", b"\0", b"//x\n{}"],
    ids=["empty", "cut", "two", "comma", "quotes", "deep list", "deep object", "utf-16", "latin",
         "mark", "null", "comment"],
)  # fmt: skip
async def test_what_is_not_json_is_400(stage: Stage, one: Endpoint, data: bytes) -> None:
    answer = await send(stage, one, data)

    assert answer.status == 400


@each_with_body
async def test_damaged_gzip_is_400(stage: Stage, one: Endpoint) -> None:
    whole = gzip.compress(text_of(one))
    for damaged in (whole[:-9], whole[:-1], whole + b"x", text_of(one), b"", whole + whole):
        answer = await send(stage, one, damaged, Content_Encoding="gzip")

        assert (answer.status, answer.problem["code"]) == (400, "encoding-broken")


@each_with_body
async def test_a_gzip_bomb_is_413(stage: Stage, one: Endpoint) -> None:
    assert len(BOMB) < one.body_bytes_max  # else its length alone would have it refused
    answer = await send(stage, one, BOMB, Content_Encoding="gzip")

    assert answer.status == 413


async def test_many_gzip_bombs_take_little_memory(stage: Stage) -> None:
    async def explode(times: int) -> None:
        sent = (send(stage, one, BOMB, Content_Encoding="gzip") for one in WITH_BODY * times)
        await asyncio.gather(*sent)

    await explode(1)  # what is allocated once
    before = reset_peak()

    await explode(4)

    assert peak_bytes() - before < RSS_GROWTH_MAX


def reset_peak() -> int:
    """Let the peak begin anew; return what this process holds now."""
    PEAK_RESET.write_text("5")
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the most memory this process, server and client, held since the reset."""
    (line,) = (line for line in PROCESS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@each_with_body
async def test_a_body_said_to_be_100_mb_is_413_before_it_is_sent(
    stage: Stage, one: Endpoint
) -> None:
    head = f"Content-Length: {100 * MIB}"

    assert await answer_to_a_long_body(stage, one, head, b"") == (413, 0)


@each_with_body
async def test_100_mb_in_chunks_are_413_long_before_their_end(stage: Stage, one: Endpoint) -> None:
    status, taken = await answer_to_a_long_body(stage, one, "Transfer-Encoding: chunked", CHUNK)

    assert status == 413
    assert taken <= one.body_bytes_max + READ_EARLY_MAX


async def test_a_server_that_reads_long_bodies_to_their_end_would_be_seen() -> None:
    """The control: what it counts is what a server takes, not what lies in the kernel's buffers."""
    takes = 50 * MIB

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(takes)
        writer.write(b"HTTP/1.1 413 Content Too Large\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1") as server:
        _, port = server.sockets[0].getsockname()
        status, taken = await send_long_body("127.0.0.1", port, b"", CHUNK)

    assert status == 413
    assert takes <= taken <= takes + READ_EARLY_MAX


async def answer_to_a_long_body(
    stage: Stage, one: Endpoint, framing: str, part: bytes
) -> tuple[int, int]:
    """Return the status and how many bytes of the body the server had taken when it came."""
    address = stage.served.running.address
    token = token_for(one, stage.ours)
    shown = "" if token is None else f"Authorization: Bearer {token}\r\n"
    head = (
        f"{one.method} {path_of(one, stage.ours.things)} HTTP/1.1\r\nHost: {address.host}\r\n"
        f"{shown}Content-Type: application/json\r\n{framing}\r\n\r\n".encode()
    )
    return await send_long_body(address.host, address.port, head, part)


async def send_long_body(host: str, port: int, head: bytes, part: bytes) -> tuple[int, int]:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head)
    sent = 0

    async def send_on() -> None:
        nonlocal sent
        while sent < 100 * MIB and part:
            writer.write(part)
            sent += len(part)
            await writer.drain()

    sending = asyncio.create_task(send_on())
    try:
        async with asyncio.timeout(10):
            line = await reader.readline()
        held = writer.transport.get_write_buffer_size() + in_kernel_bytes(writer, port)
        taken = sent - held
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
    return int(line.split()[1]), taken


def in_kernel_bytes(writer: asyncio.StreamWriter, port: int) -> int:
    """Return what was written and neither sent nor, on the other side, read.

    A receive buffer grows to tens of megabytes if the machine is set so: what lies there
    has cost the server nothing, and says nothing of when it stopped to read.
    """
    answer = fcntl.ioctl(writer.get_extra_info("socket").fileno(), SIOCOUTQNSD, bytes(4))
    held = int.from_bytes(answer, sys.byteorder)
    own: int = writer.get_extra_info("sockname")[1]
    for line in CONNECTIONS.read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if [int(side.split(":")[1], 16) for side in (local, remote)] == [port, own]:
            held += int(queues.split(":")[1], 16)
    return held


@pytest.mark.parametrize("one", WITH_QUERY, ids=name_of)
async def test_a_query_that_does_not_fit_is_422(stage: Stage, one: Endpoint) -> None:
    token = token_for(one, stage.ours)
    fits = list(samples.query(one).items())
    known = [part["name"] for part in samples.operation(one)["parameters"] if part["in"] == "query"]
    wrong = [
        [*fits, ("unexpected", CANARY)],
        [*fits, (CANARY, "1")],
        [*fits, ("unexpected", "1"), ("unexpected", "2")],
        *([*_without(fits, name), (name, f"{CANARY}\0")] for name in known),
        *([*fits, (name, "1"), (name, "1")] for name in known),
        *(_without(fits, name) for name, _ in fits),
    ]
    for query in wrong:
        answer = await ask(stage, one, token=token, query=query)

        assert answer.status == 422, query
        assert all(path.startswith("?") for path in answer.paths)


def _without(query: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    return [(other, value) for other, value in query if other != name]


@pytest.mark.parametrize("one", WITH_ID, ids=name_of)
@pytest.mark.parametrize("text", [CANARY, "0", "%00", "%F0%9F%9A%9A", "..%2F..", "x" * 3000, "'--"])
async def test_an_id_that_is_none_is_404(stage: Stage, one: Endpoint, text: str) -> None:
    path = path_of(one, dict.fromkeys(one.parameters, text))

    answer = await ask(stage, one, token=token_for(one, stage.ours), path=path)

    assert answer.status == 404
