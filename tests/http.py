"""The real server on a real socket, made of the endpoints a test asks for."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import ClientSession, web

from server.credentials.access import VAULT, authorize
from server.gate.handover import writing_down
from server.journal.service import Journal
from server.journal.web import JOURNAL
from server.kit import api
from server.kit import web as kit_web
from server.kit.api import Endpoint
from server.kit.http_connection import Limits
from server.kit.http_server import listening
from server.kit.problem import problems
from server.kit.web import CLOCK, POOL
from server.notice_kinds.kinds import Channel
from server.notices.web import WAYS_OUT
from server.rights import service as rights
from tests.world import NOW, World


class Clock:
    """The application's clock in a test: stands still until it is moved."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@asynccontextmanager
async def serve(
    world: World,
    *features: Sequence[Endpoint],
    clock: Clock | None = None,
    prepare: Callable[[web.Application], None] = lambda _app: None,
    limits: Limits | None = None,
) -> AsyncGenerator[ClientSession]:
    """Serve the endpoints; the client's paths are relative to the server.

    ``prepare`` may set further keys of the application and its ``cleanup_ctx``.
    """
    app = web.Application(middlewares=[problems])
    app[POOL] = world.pool
    app[VAULT] = world.vault
    app[JOURNAL] = Journal(world.pool, world.keys_pool)
    frozen: kit_web.Clock = clock or Clock()
    app[CLOCK] = frozen
    app[WAYS_OUT] = frozenset({Channel.EMAIL})
    app.cleanup_ctx.append(writing_down(rights.tell_of_alert))
    prepare(app)
    api.install(app, [one for feature in features for one in feature], authorize=authorize)
    async with (
        listening(app, host="127.0.0.1", port=0, limits=limits) as address,
        ClientSession(address.url) as client,
    ):
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
