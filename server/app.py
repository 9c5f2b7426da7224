"""The composition root: the only module that knows every feature."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from server.accounts.web import ENDPOINTS as ACCOUNTS
from server.alerts.web import ENDPOINTS as ALERTS
from server.attestations.web import ENDPOINTS as ATTESTATIONS
from server.certificates.web import ENDPOINTS as CERTIFICATES
from server.clarifications.web import ENDPOINTS as CLARIFICATIONS
from server.closure.web import ENDPOINTS as CLOSURE
from server.consent.web import ENDPOINTS as CONSENT
from server.controllers.web import ENDPOINTS as CONTROLLERS
from server.corrections.web import ENDPOINTS as CORRECTIONS
from server.credentials.access import PUBLIC_ORIGIN, SECURITY_SCHEMES, VAULT, authorize
from server.credentials.web import ENDPOINTS as CREDENTIALS
from server.data_map.web import ENDPOINTS as DATA_MAP
from server.databases import Opened
from server.delivery.ports import ports_of
from server.delivery.web import ENDPOINTS as DELIVERIES
from server.devices.web import ENDPOINTS as DEVICES
from server.disclosures.web import ENDPOINTS as DISCLOSURES
from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure_decisions.web import ENDPOINTS as ERASURE_DECISIONS
from server.erasure_preview.web import ENDPOINTS as ERASURE_PREVIEW
from server.exports.web import ENDPOINTS as EXPORTS
from server.fleet_tracks.web import ENDPOINTS as FLEET_TRACKS
from server.gate.handover import writing_down
from server.guardians.web import ENDPOINTS as GUARDIANS
from server.holds.web import ENDPOINTS as HOLDS
from server.incidents.web import ENDPOINTS as INCIDENTS
from server.invitations.web import ENDPOINTS as INVITATIONS
from server.journal.service import Journal
from server.journal.web import JOURNAL
from server.kit import api, openapi
from server.kit.api import Endpoint
from server.kit.client_address import TRUSTED_PROXIES
from server.kit.docs_page import docs_routes
from server.kit.neighbours import NEIGHBOURS, Neighbours
from server.kit.ops import METRICS, Metrics, metrics_middleware, ops_app
from server.kit.problem import problems
from server.kit.web import CLOCK, POOL, Clock
from server.life.joining_web import ENDPOINTS as JOINING
from server.life.web import ENDPOINTS as LIFE
from server.links import web as links
from server.live import web as live
from server.log_in.web import ENDPOINTS as LOG_IN
from server.log_in.web import logging_in
from server.notices.web import ENDPOINTS as NOTICES
from server.notices.web import WAYS_OUT
from server.pages import web as pages
from server.passwords.web import ENDPOINTS as PASSWORDS
from server.passwords.web import resetting
from server.person_requests.web import ENDPOINTS as PERSON_REQUESTS
from server.policies import web as policies
from server.receipts.web import ENDPOINTS as RECEIPTS
from server.report_files.web import ENDPOINTS as REPORT_FILES
from server.reports.web import ENDPOINTS as REPORTS
from server.rights import service as rights
from server.rights.web import ENDPOINTS as RIGHTS
from server.rights.web import counting, noticing_unknown_ids
from server.roads.service import roads_of
from server.roads.web import ROADS
from server.route_imports.web import ENDPOINTS as ROUTE_IMPORTS
from server.routes.web import ENDPOINTS as ROUTES
from server.second_factor.web import ENDPOINTS as SECOND_FACTOR
from server.settings import Settings
from server.shifts.web import ENDPOINTS as SHIFTS
from server.stop_events.web import ENDPOINTS as STOP_EVENTS
from server.track_deletion.web import COMMITTER_DSN
from server.track_deletion.web import ENDPOINTS as TRACK_DELETION
from server.tracking.web import ENDPOINTS as TRACKING
from server.uploads.web import ENDPOINTS as UPLOADS
from server.uploads.web import uploading
from server.vehicles.web import ENDPOINTS as VEHICLES

TITLE: Final = "Jolda"
VERSION: Final = "0.1.0"
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *LOG_IN,
    *JOINING,
    *SECOND_FACTOR,
    *ACCOUNTS,
    *CREDENTIALS,
    *PASSWORDS,
    *VEHICLES,
    *NOTICES,
    *DELIVERIES,
    *policies.ENDPOINTS,
    *DATA_MAP,
    *CLARIFICATIONS,
    *SHIFTS,
    *GUARDIANS,
    *CONSENT,
    *RECEIPTS,
    *CONTROLLERS,
    *DEVICES,
    *INVITATIONS,
    *CORRECTIONS,
    *ATTESTATIONS,
    *TRACKING,
    *TRACK_DELETION,
    *UPLOADS,
    *FLEET_TRACKS,
    *ROUTES,
    *ROUTE_IMPORTS,
    *REPORTS,
    *REPORT_FILES,
    *STOP_EVENTS,
    *ALERTS,
    *live.ENDPOINTS,
    *links.ENDPOINTS,
    *DISCLOSURES,
    *INCIDENTS,
    *RIGHTS,
    *EXPORTS,
    *ERASURE,
    *ERASURE_DECISIONS,
    *ERASURE_PREVIEW,
    *HOLDS,
    *LIFE,
    *CLOSURE,
    *CERTIFICATES,
    *PERSON_REQUESTS,
)


def create_app(
    settings: Settings, opened: Opened, *, clock: Clock, neighbours: Neighbours | None = None
) -> web.Application:
    """Wire the application. Opens nothing: what lives runs in ``cleanup_ctx``."""
    app = web.Application(middlewares=[metrics_middleware, problems, noticing_unknown_ids])
    app[POOL] = opened.pool
    app[VAULT] = opened.vault
    app[JOURNAL] = Journal(opened.pool, opened.keys_pool)
    app[COMMITTER_DSN] = opened.dsn
    app[CLOCK] = clock
    app[METRICS] = Metrics()
    app[NEIGHBOURS] = neighbours or Neighbours()
    if settings.public_origin is not None:
        app[PUBLIC_ORIGIN] = settings.public_origin
    app[TRUSTED_PROXIES] = settings.trusted_proxies
    app[WAYS_OUT] = frozenset(ports_of(settings.smtp, settings.sms, settings.push))
    app[ROADS] = roads_of(settings.roads)
    app.cleanup_ctx.append(logging_in)
    app.cleanup_ctx.append(resetting)
    app.cleanup_ctx.append(writing_down(rights.tell_of_alert))
    app.cleanup_ctx.append(counting)
    app.cleanup_ctx.append(uploading(opened.dsn))
    app.cleanup_ctx.append(links.showing)
    live.install(app)
    api.install(app, ENDPOINTS, authorize=authorize)
    app.router.add_routes(docs_routes(api_document))
    app.router.add_routes(policies.page_routes())
    pages.install(app, settings.static)
    return app


def create_ops_app(app: web.Application, opened: Opened) -> web.Application:
    """Return the operators' application: health and metrics of ``app``."""
    return ops_app(main=opened.pool, keys=opened.keys_pool, metrics=app[METRICS])


def api_document() -> Mapping[str, Any]:
    """Return the OpenAPI document of every endpoint."""
    return openapi.document(ENDPOINTS, title=TITLE, version=VERSION, security=SECURITY_SCHEMES)
