"""Uploads are answered beside the application: nobody can tell by what they are answered."""

import asyncio
import io
import json
import socket
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit.http_connection import Connection
from server.kit.ops import METRICS, Metrics
from server.kit.tasks import ended
from server.uploads import service
from server.uploads import web as uploads
from server.uploads.web import UPLOAD_BYTES_MAX
from tests.conftest import Databases
from tests.endpoints import TRACKING
from tests.http import Clock, bearer, serve
from tests.uploading import Api, positions
from tests.world import NOW, World

SENDING_S = 2.0
SENDING_S_MAX = 20.0
UNSENT_BYTES_MAX = 256 * 1024
"""aiohttp stops at 64 KiB, and one answer more."""
THROUGH_THE_APPLICATION = ({"Connection": "close"}, {"Expect": "100-continue"})
SAME_HEADERS = ("Content-Type", "Cache-Control", "X-Content-Type-Options", "Retry-After", "Server")


async def answered(
    client: ClientSession, body: bytes, headers: dict[str, str]
) -> tuple[int, Any, dict[str, str | None]]:
    """Return status, JSON and the headers that must not differ by the way taken."""
    async with client.post("/v1/positions", data=io.BytesIO(body), headers=headers) as answer:
        same = {name: answer.headers.get(name) for name in SAME_HEADERS}
        assert "Date" in answer.headers
        return answer.status, await answer.json(content_type=None), same


def json_of(sent: list[dict[str, Any]], **members: Any) -> bytes:
    return json.dumps({"positions": sent, **members}).encode()


@pytest.mark.parametrize("unusual", THROUGH_THE_APPLICATION, ids=["close", "expect"])
@pytest.mark.parametrize(
    ("body", "changed", "status"),
    [
        (json_of(positions(2)), {}, HTTPStatus.OK),
        (json_of(positions(2, lat=95.0)), {}, HTTPStatus.UNPROCESSABLE_ENTITY),
        (b"{", {}, HTTPStatus.BAD_REQUEST),
        (b"[" * (UPLOAD_BYTES_MAX + 1), {}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (json_of(positions(1)), {"Content-Type": "text/plain"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (json_of(positions(1)), {"Authorization": "Bearer no"}, HTTPStatus.UNAUTHORIZED),
    ],
    ids=["stored", "field", "json", "large", "type", "token"],
)
async def test_both_ways_answer_alike(
    api: Api, body: bytes, changed: dict[str, str], status: HTTPStatus, unusual: dict[str, str]
) -> None:
    headers = {
        "Content-Type": "application/json",
        **bearer(api.world.driver.device_token),
        **changed,
    }
    first = await answered(api.client, body, headers)
    again = await answered(api.client, body, headers)

    through = await answered(api.client, body, {**headers, **unusual})

    assert first[0] == status
    # The first one stored it; from then on it is a duplicate, whichever way it comes.
    assert again == through


async def test_what_nobody_foresaw_is_a_500_that_repeats_nothing_and_keeps_the_connection(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("51.1 is a secret")

    body = json_of(positions(1))
    headers = {"Content-Type": "application/json", **bearer(api.world.driver.device_token)}
    with monkeypatch.context() as patch:
        patch.setattr(service, "judge", broken)
        status, answer, _ = await answered(api.client, body, headers)

    assert (status, answer["code"]) == (HTTPStatus.INTERNAL_SERVER_ERROR, "internal")
    assert "51.1" not in json.dumps(answer)
    assert (await answered(api.client, body, headers))[0] == HTTPStatus.OK


async def test_uploads_that_come_in_one_packet_are_answered_one_by_one(api: Api) -> None:
    url = api.client._base_url  # noqa: SLF001 - where the server really is
    assert url is not None
    token = api.world.driver.device_token

    def request(place: int) -> bytes:
        body = json_of(positions(1, step_s=1, until=NOW, altitude_m=float(place)))
        return (
            f"POST /v1/positions HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"".join(request(place) for place in range(5)))
    answers = []
    for _ in range(5):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        answers.append(json.loads(await reader.readexactly(size)))
    writer.close()
    await writer.wait_closed()

    assert [answer["accepted"] for answer in answers] == [1] * 5
    assert await api.rows() == 5


async def test_both_ways_are_counted_as_one_endpoint(world: World, databases: Databases) -> None:
    metrics = Metrics()

    def prepare(app: Any) -> None:
        app[METRICS] = metrics
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    headers = {"Content-Type": "application/json", **bearer(world.driver.device_token)}
    async with serve(world, TRACKING, clock=Clock(), prepare=prepare) as client:
        await answered(client, json_of(positions(1)), headers)
        await answered(client, b"{", headers)

    def count(status: str) -> float | None:
        labels = {"endpoint": "upload_positions", "method": "POST", "status": status}
        return metrics.registry.get_sample_value("jolda_http_requests_total", labels)

    assert (count("2xx"), count("4xx")) == (1.0, 1.0)


@pytest.mark.parametrize(
    "unusual", ["", "Expect: 100-continue\r\n"], ids=["beside", "through the application"]
)
async def test_who_sends_and_never_reads_is_not_answered_into_memory(
    api: Api, unusual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full: set[Connection] = set()
    pause = Connection.pause_writing

    def noting(connection: Connection) -> None:
        full.add(connection)
        pause(connection)

    begin = Connection.connection_made

    def with_little_room(connection: Connection, transport: asyncio.BaseTransport) -> None:
        kernels = transport.get_extra_info("socket")
        kernels.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        begin(connection, transport)

    monkeypatch.setattr(Connection, "pause_writing", noting)
    monkeypatch.setattr(Connection, "connection_made", with_little_room)
    url = api.client._base_url  # noqa: SLF001 - where the server really is
    assert url is not None
    # The least that a device can send. Without a token it would be answered late.
    token = api.world.driver.device_token
    requests = (
        f"POST /v1/positions HTTP/1.1\r\nHost: {url.host}\r\n{unusual}"
        f"Authorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"
    ).encode() * 1_000
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.settimeout(0)
        await loop.sock_connect(caller, (url.host, url.port))

        async def send() -> None:
            while True:
                await loop.sock_sendall(caller, requests)

        sending = asyncio.create_task(send())
        async with asyncio.timeout(SENDING_S_MAX):
            while not full:  # noqa: ASYNC110 - the server's own
                await asyncio.sleep(0.05)
        await asyncio.wait([sending], timeout=SENDING_S)
        await ended(sending)
        held = [one.transport.get_write_buffer_size() for one in full if one.transport is not None]

    assert len(held) == 1
    assert held[0] < UNSENT_BYTES_MAX
