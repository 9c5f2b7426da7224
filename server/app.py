"""The composition root: the only module that knows every feature."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from aiohttp import web

from server.accounts import service as accounts
from server.accounts.access import PUBLIC_ORIGIN, SECURITY_SCHEMES, VAULT
from server.accounts.client_address import TRUSTED_PROXIES
from server.accounts.web import ENDPOINTS as ACCOUNTS
from server.accounts.web import authorize, logging_in
from server.consent import service as consent
from server.consent.web import ENDPOINTS as CONSENT
from server.databases import Opened
from server.erasure import saga
from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure.web import ERASE_DUE
from server.gate import service as gate
from server.kit import api, db, openapi
from server.kit.api import Endpoint
from server.kit.docs_page import docs_routes
from server.kit.jobs import Jobs, Payload
from server.kit.ops import METRICS, Metrics, metrics_middleware, ops_app
from server.kit.problem import problems, where
from server.kit.web import CLOCK, POOL, Clock
from server.live import web as live
from server.pages import web as pages
from server.routes.web import ENDPOINTS as ROUTES
from server.settings import Settings
from server.tracking import service as tracking
from server.tracking.web import ENDPOINTS as TRACKING
from server.tracking.web import uploading

log = structlog.get_logger(__name__)

TITLE: Final = "Jolda"
VERSION: Final = "0.1.0"
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *ACCOUNTS,
    *CONSENT,
    *TRACKING,
    *ROUTES,
    *live.ENDPOINTS,
    *ERASURE,
)


def create_app(settings: Settings, opened: Opened, *, clock: Clock) -> web.Application:
    """Wire the application. Opens nothing: what lives runs in ``cleanup_ctx``."""
    app = web.Application(middlewares=[metrics_middleware, problems])
    app[POOL] = opened.pool
    app[VAULT] = opened.vault
    app[CLOCK] = clock
    app[METRICS] = Metrics()
    if settings.public_origin is not None:
        app[PUBLIC_ORIGIN] = settings.public_origin
    app[TRUSTED_PROXIES] = settings.trusted_proxies
    app.cleanup_ctx.append(logging_in)
    app.cleanup_ctx.append(uploading(opened.dsn))
    live.install(app)
    api.install(app, ENDPOINTS, authorize=authorize)
    app.router.add_routes(docs_routes(api_document()))
    pages.install(app, settings.static)
    return app


def create_ops_app(app: web.Application, opened: Opened) -> web.Application:
    """Return the operators' application: health and metrics of ``app``."""
    return ops_app(main=opened.pool, keys=opened.keys_pool, metrics=app[METRICS])


def api_document() -> Mapping[str, Any]:
    """Return the OpenAPI document of every endpoint."""
    return openapi.document(ENDPOINTS, title=TITLE, version=VERSION, security=SECURITY_SCHEMES)


def jobs_of(opened: Opened, clock: Clock) -> Jobs:
    """Return what is done without a caller: each piece of work is of one company at a time."""

    async def erase_due(payload: Payload) -> None:
        company_id = UUID(payload["company_id"])
        await saga.run_due(opened.pool, opened.vault, company_id, clock())

    async def erase_all_due(company_id: UUID, now: datetime) -> None:
        await saga.run_due(opened.pool, opened.vault, company_id, now)

    async def destroy_live_keys(company_id: UUID, now: datetime) -> None:
        await opened.vault.destroy_live(company_id, now)

    tenants: Mapping[str, Callable[[db.Connection, UUID, datetime], Awaitable[object]]] = {
        "end_forgotten_shifts": consent.end_forgotten,
        "sweep_latest_positions": tracking.sweep_latest,
        "sweep_gate_closings": gate.sweep_closings,
    }
    works: Mapping[str, Callable[[UUID, datetime], Awaitable[None]]] = {
        **{name: partial(_in_transaction, opened, work) for name, work in tenants.items()},
        "erase_due": erase_all_due,
        "destroy_live_keys": destroy_live_keys,
    }
    return Jobs(
        queued={ERASE_DUE: erase_due},
        every_minute={
            name: partial(_each_company, opened, clock, name, work) for name, work in works.items()
        },
    )


async def _each_company(
    opened: Opened, clock: Clock, name: str, work: Callable[[UUID, datetime], Awaitable[None]]
) -> None:
    conn = await db.connect(opened.dsn, role=db.ROLE_JOBS)
    try:
        companies = await accounts.every_company(conn)
    finally:
        await conn.close()
    for company_id in companies:
        try:
            await work(company_id, clock())
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("job_failed", job=name, company=str(company_id), **where(error))


async def _in_transaction(
    opened: Opened,
    work: Callable[[db.Connection, UUID, datetime], Awaitable[object]],
    company_id: UUID,
    now: datetime,
) -> None:
    async with db.tenant(opened.pool, company_id) as conn:
        await work(conn, company_id, now)
