"""A real HTTP endpoint as an operator's adapter for text and push messages would be."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Adapter:
    """What arrived, and how the adapter answers."""

    status: int = 202
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    got: list[dict[str, Any]] = field(default_factory=list)
    seen_headers: list[Mapping[str, str]] = field(default_factory=list)
    elsewhere: int = 0
    """Requests to another path than the one that was set up."""


@asynccontextmanager
async def adapter_server(
    adapter: Adapter, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[str]:
    """Serve the adapter; gives the URL to send messages to."""

    async def messages(request: web.Request) -> web.Response:
        adapter.seen_headers.append(dict(request.headers))
        adapter.got.append(await request.json())
        await asyncio.sleep(adapter.delay_s)
        return web.Response(status=adapter.status, headers=adapter.headers, text="+77010000001 ?")

    async def elsewhere(_request: web.Request) -> web.Response:
        adapter.elsewhere += 1
        return web.Response()

    app = web.Application()
    app.router.add_post("/messages", messages)
    app.router.add_route("*", "/{rest:.*}", elsewhere)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/messages"
    finally:
        await runner.cleanup()
