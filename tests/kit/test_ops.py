"""The operators' port: well or not, within a second, and figures without anybody in them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from aiohttp import ClientSession

from server.kit.db import ROLE_KEYS, Pool, pool
from server.kit.http_server import listening
from server.kit.ops import METRICS, Metrics, metrics_middleware, ops_app
from server.kit.problem import problems
from tests.conftest import Databases
from tests.kit import toy


@asynccontextmanager
async def ops(
    main: Pool, keys: Pool, metrics: Metrics | None = None
) -> AsyncGenerator[ClientSession]:
    app = ops_app(main=main, keys=keys, metrics=metrics or Metrics(), check_s_max=0.5)
    async with (
        listening(app, host="127.0.0.1", port=0) as address,
        ClientSession(address.url) as client,
    ):
        yield client


async def health(client: ClientSession) -> tuple[int, object]:
    async with client.get("/healthz") as response:
        return response.status, await response.json()


async def test_it_is_well_when_both_databases_answer(app_pool: Pool, keys_pool: Pool) -> None:
    async with ops(app_pool, keys_pool) as client:
        assert await health(client) == (
            200, {"status": "ok", "checks": {"main": "ok", "keys": "ok"}}
        )  # fmt: skip


async def test_a_database_that_is_gone_is_named(app_pool: Pool, databases: Databases) -> None:
    async with pool(databases.keys, role=ROLE_KEYS) as gone:
        await gone.close()
        async with ops(app_pool, gone) as client:
            assert await health(client) == (
                503, {"status": "failed", "checks": {"main": "ok", "keys": "failed"}}
            )  # fmt: skip


class Freezer:
    """A link to the database that can freeze: it stays open and passes nothing on."""

    def __init__(self, dsn: str) -> None:
        self._socket = f"{parse_qs(urlsplit(dsn).query)['host'][0]}/.s.PGSQL.5432"
        self.flows = asyncio.Event()
        self.flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_unix_connection(self._socket)
        for source, target in ((near_in, far_out), (far_in, near_out)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            await self.flows.wait()
            target.write(data)
        target.close()


async def test_a_frozen_database_is_told_in_time_and_again_well_when_it_thaws(
    app_pool: Pool, databases: Databases
) -> None:
    freezer = Freezer(databases.keys)
    server = await asyncio.start_server(freezer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(databases.keys)
    dsn = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"
    async with pool(dsn, role=ROLE_KEYS, size_max=2) as keys, ops(app_pool, keys) as client:
        assert (await health(client))[0] == 200
        freezer.flows.clear()
        for _ in range(3):  # more often than the pool has connections
            began = time.monotonic()
            assert await health(client) == (
                503, {"status": "failed", "checks": {"main": "ok", "keys": "failed"}}
            )  # fmt: skip
            assert time.monotonic() - began < 5
        assert keys.get_size() - keys.get_idle_size() <= 1
        freezer.flows.set()
        await asyncio.sleep(0.1)
        assert (await health(client))[0] == 200
    server.close()


async def test_requests_are_counted_by_endpoint_method_and_class_of_status(
    app_pool: Pool, keys_pool: Pool
) -> None:
    metrics = Metrics()
    app = toy.application(middlewares=[metrics_middleware, problems])
    app[METRICS] = metrics
    async with (
        listening(app, host="127.0.0.1", port=0, count_refused=metrics.count_refused) as address,
        ClientSession(address.url) as client,
    ):
        for method, path in (
            ("GET", "/v1/places"), ("GET", "/v1/places?limit=0"), ("GET", "/v1/CANARY"),
            ("GET", "/v1/places/CANARY"), ("GET", "/v1/wrong"), ("PROPFIND", "/v1/CANARY"),
        ):  # fmt: skip
            async with client.request(method, path) as response:
                await response.read()
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"CANARY\r\n\r\n")
        await reader.read()
        writer.close()
        stream = await client.get("/v1/stream")
        await stream.content.readany()
        stream.close()

    async with ops(app_pool, keys_pool, metrics) as client, client.get("/metrics") as response:
        told = await response.text()

    assert response.headers["Content-Type"].startswith("text/plain")
    for line in (
        'jolda_http_requests_total{endpoint="list_places",method="GET",status="2xx"} 1.0',
        'jolda_http_requests_total{endpoint="list_places",method="GET",status="4xx"} 1.0',
        'jolda_http_requests_total{endpoint="get_place",method="GET",status="4xx"} 1.0',
        'jolda_http_requests_total{endpoint="unmatched",method="GET",status="4xx"} 1.0',
        'jolda_http_requests_total{endpoint="unmatched",method="other",status="4xx"} 1.0',
        'jolda_http_requests_total{endpoint="wrong",method="GET",status="5xx"} 1.0',
        'jolda_http_request_seconds_count{endpoint="list_places",method="GET",status="2xx"} 1.0',
        'jolda_http_refused_total{reason="malformed"} 1.0',
        "process_resident_memory_bytes",
    ):
        assert line in told
    assert "CANARY" not in told


async def test_two_sets_of_metrics_do_not_meet() -> None:
    one, two = Metrics(), Metrics()
    one.count_refused("full")

    assert two.registry.get_sample_value("jolda_http_refused_total", {"reason": "full"}) is None
    assert one.registry.get_sample_value("jolda_http_refused_total", {"reason": "full"}) == 1
