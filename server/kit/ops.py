"""What operators ask, on a port of its own: is it well, and how does it do."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import asyncpg
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from server.kit.db import Pool
from server.kit.problem import problems

CHECK_S_MAX: Final = 1.0
# Any word can be a method: only these become labels, so that callers cannot grow the metrics.
METHODS: Final = frozenset(
    {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH,
     hdrs.METH_DELETE, hdrs.METH_OPTIONS}
)  # fmt: skip
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Figures of one process. Labels name endpoints, never people, companies or devices."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "jolda_http_requests",
            "Requests answered, by endpoint, method and class of status.",
            ("endpoint", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "jolda_http_request_seconds",
            "Time from a request's headers to the end of its handler; streams are left out.",
            ("endpoint", "method", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "jolda_http_refused",
            "Connections and requests cut off before any endpoint, by reason.",
            ("reason",),
            registry=self.registry,
        )

    def observer(self, endpoint: str, method: str) -> Callable[[int | None, float], None]:
        """Return what counts and times one endpoint's answers, by status and seconds."""
        children: dict[int | None, tuple[Counter, Histogram]] = {}

        def observe(status: int | None, seconds: float) -> None:
            found = children.get(status)
            if found is None:
                labels = (endpoint, method, "none" if status is None else f"{status // 100}xx")
                found = (self.requests.labels(*labels), self.seconds.labels(*labels))
                children[status] = found
            requests, durations = found
            requests.inc()
            durations.observe(seconds)

        return observe

    def count_refused(self, reason: str) -> None:
        """Count what the listener cut off: its ``count_refused``."""
        self.refused.labels(reason).inc()

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self.registry)


Answers: TypeAlias = Callable[[], Awaitable[Mapping[str, bool]]]
"""What has to be well, by name, and whether it is."""
Figures: TypeAlias = Callable[[], Awaitable[bytes]]
"""Prometheus' text format."""

METRICS: web.AppKey[Metrics] = web.AppKey("METRICS")
_ANSWERS: web.AppKey[Answers] = web.AppKey("_ANSWERS")
_FIGURES: web.AppKey[Figures] = web.AppKey("_FIGURES")


@web.middleware
async def metrics_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time every request. The outermost middleware: it needs ``app[METRICS]``."""
    began = time.perf_counter()
    status = "none"  # the caller went away, or the server is stopping
    streamed = False
    try:
        response = await handler(request)
        status = f"{response.status // 100}xx"
        streamed = response.content_type == "text/event-stream"
    except web.HTTPException as error:
        status = f"{error.status // 100}xx"
        raise
    except Exception:
        status = "5xx"
        raise
    else:
        return response
    finally:
        metrics = request.app[METRICS]
        method = request.method if request.method in METHODS else "other"
        labels = (request.match_info.route.name or "unmatched", method, status)
        metrics.requests.labels(*labels).inc()
        if not streamed:
            metrics.seconds.labels(*labels).observe(time.perf_counter() - began)


def ops_app(
    *, main: Pool, keys: Pool, metrics: Metrics, check_s_max: float = CHECK_S_MAX
) -> web.Application:
    """Return the operators' application of one process. Listen on a local address only."""
    checks = Checks({"main": main, "keys": keys}, check_s_max)

    async def figures() -> bytes:
        return metrics.text()

    app = installation_app(checks.answers, figures)
    app.on_cleanup.append(checks.stop)
    return app


def installation_app(answers: Answers, figures: Figures) -> web.Application:
    """Return the operators' application of whatever is asked. Listen on a local address only."""
    app = web.Application(middlewares=[problems])
    app[_ANSWERS] = answers
    app[_FIGURES] = figures
    app.router.add_get("/healthz", _health, name="health")
    app.router.add_get("/metrics", _metrics, name="metrics")
    return app


class Checks:
    """Asks the databases. A question that hangs is not asked a second time meanwhile."""

    def __init__(self, pools: Mapping[str, Pool], s_max: float = CHECK_S_MAX) -> None:
        self._pools = pools
        self._s_max = s_max
        self._asking: dict[str, asyncio.Task[bool]] = {}

    async def answers(self) -> dict[str, bool]:
        for name, pool in self._pools.items():
            if name not in self._asking or self._asking[name].done():
                self._asking[name] = asyncio.create_task(_answers(pool))
        # A frozen server also freezes the cancelling: wait for the time, not for the end.
        await asyncio.wait(self._asking.values(), timeout=self._s_max)
        return {name: task.done() and task.result() for name, task in self._asking.items()}

    async def stop(self, _app: web.Application | None = None) -> None:
        for task in self._asking.values():
            task.cancel()


async def _answers(pool: Pool) -> bool:
    try:
        return bool(await pool.fetchval("SELECT 1") == 1)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def _health(request: web.Request) -> web.Response:
    answers = await request.app[_ANSWERS]()
    ready = all(answers.values())
    told = {name: "ok" if answered else "failed" for name, answered in answers.items()}
    return web.json_response(
        {"status": "ok" if ready else "failed", "checks": told},
        status=200 if ready else 503,
        headers={"Cache-Control": "no-store"},
    )


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=await request.app[_FIGURES](),
        headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
    )
