"""The register of incidents over HTTP. Anybody reports one; a main user answers for it."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from server.credentials.access import ANY_MEMBER, MAIN_USER, VAULT, me
from server.credentials.viewers import viewer
from server.incidents import service
from server.incidents.model import (
    Act,
    IncidentActRefused,
    IncidentMissing,
    IncidentNotifiedAlready,
    IncidentSourceInvalid,
    IncidentSpanInvalid,
    IncidentUnfinished,
)
from server.incidents.wire import (
    AffectedView,
    AssessmentCount,
    AuthorityNotified,
    IncidentReceipt,
    IncidentReport,
    IncidentView,
    NewAssessment,
    Outcome,
    scope_of,
    view,
)
from server.kit.api import Endpoint, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Page, PageQuery


@endpoint(
    "POST",
    "/v1/incidents",
    access=ANY_MEMBER,
    status=HTTPStatus.CREATED,
    raises=(IncidentSpanInvalid,),
)
async def report_incident(request: web.Request, *, body: IncidentReport) -> IncidentReceipt:
    """Report that somebody may have seen personal data who should not have.

    It opens an incident: the main users are told, and the clock of the notification to the
    authority runs. Whoever reports sees no more of it.
    """
    at = now(request)
    async with transaction(request) as conn:
        opened = await service.report(
            conn,
            request.app[VAULT],
            request[COMPANY],
            body.what,
            noticed_at=body.noticed_at,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return IncidentReceipt.model_validate(opened)


@endpoint("GET", "/v1/incidents", access=MAIN_USER, raises=(CursorInvalid,))
async def list_incidents(request: web.Request, *, query: PageQuery) -> Page[IncidentView]:
    """List the company's incidents, the newest first."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.register(
            conn,
            request.app[VAULT],
            request[COMPANY],
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[view(one) for one in found], next_cursor=following)


@endpoint("GET", "/v1/incidents/{incident_id}", access=MAIN_USER, raises=(IncidentMissing,))
async def read_incident(request: web.Request, *, incident_id: UUID) -> IncidentView:
    """Read an incident: its clocks, how often it was assessed, and how far members are told."""
    async with transaction(request, readonly=True) as conn:
        found = await service.one(conn, request.app[VAULT], request[COMPANY], incident_id)
    return view(found)


@endpoint(
    "POST",
    "/v1/incidents/{incident_id}/assessments",
    access=MAIN_USER,
    status=HTTPStatus.CREATED,
    raises=(IncidentMissing, IncidentActRefused, IncidentSourceInvalid, IncidentSpanInvalid),
)
async def assess_incident(
    request: web.Request, *, incident_id: UUID, body: NewAssessment
) -> AssessmentCount:
    """Compute who is affected from what is written down, and tell each of them once.

    The list is frozen: another assessment only adds to it, and only who is new is told. Its hash
    stands in the ledger. With `dry_run` it is only counted.
    """
    at, scope = now(request), scope_of(body)
    async with transaction(request) as conn:
        if body.dry_run:
            found, added, erased = await service.preview(
                conn, request[COMPANY], incident_id, scope, now=at
            )
            return AssessmentCount(found=found, added=added, erased=erased, round=None)
        assessed = await service.assess(
            conn,
            request[COMPANY],
            incident_id,
            scope,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return AssessmentCount.model_validate(assessed)


@endpoint(
    "GET",
    "/v1/incidents/{incident_id}/members",
    access=MAIN_USER,
    raises=(IncidentMissing, CursorInvalid),
)
async def list_affected_members(
    request: web.Request, *, incident_id: UUID, query: PageQuery
) -> Page[AffectedView]:
    """List who is affected and what became of each one's notice; who was erased is only counted."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.affected_members(
            conn,
            request.app[VAULT],
            request[COMPANY],
            incident_id,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[AffectedView.model_validate(one) for one in found], next_cursor=following)


@endpoint(
    "POST",
    "/v1/incidents/{incident_id}/authority-notification",
    access=MAIN_USER,
    raises=(IncidentMissing, IncidentActRefused, IncidentNotifiedAlready, IncidentSpanInvalid),
)
async def note_authority_notified(
    request: web.Request, *, incident_id: UUID, body: AuthorityNotified
) -> IncidentView:
    """Write down that the authority was notified, once: its clock stops."""
    at = now(request)
    async with transaction(request) as conn:
        await service.notify_authority(
            conn,
            request.app[VAULT],
            request[COMPANY],
            incident_id,
            reference=body.reference,
            notified_at=body.notified_at,
            by=viewer(request),
            now=at,
        )
        found = await service.one(conn, request.app[VAULT], request[COMPANY], incident_id)
    return view(found)


@endpoint(
    "POST",
    "/v1/incidents/{incident_id}/close",
    access=MAIN_USER,
    raises=(IncidentMissing, IncidentActRefused, IncidentUnfinished),
)
async def close_incident(request: web.Request, *, incident_id: UUID, body: Outcome) -> IncidentView:
    """Close an incident: the authority is notified and everybody in the list is told by then."""
    return await _ended(request, incident_id, Act.CLOSE, body)


@endpoint(
    "POST",
    "/v1/incidents/{incident_id}/dismiss",
    access=MAIN_USER,
    raises=(IncidentMissing, IncidentActRefused),
)
async def dismiss_incident(
    request: web.Request, *, incident_id: UUID, body: Outcome
) -> IncidentView:
    """Dismiss what turned out to be none, before anybody is told; why is kept with it."""
    return await _ended(request, incident_id, Act.DISMISS, body)


async def _ended(request: web.Request, incident_id: UUID, act: Act, body: Outcome) -> IncidentView:
    at = now(request)
    async with transaction(request) as conn:
        await service.end(
            conn,
            request.app[VAULT],
            request[COMPANY],
            incident_id,
            act,
            outcome=body.outcome,
            by=viewer(request),
            now=at,
        )
        found = await service.one(conn, request.app[VAULT], request[COMPANY], incident_id)
    return view(found)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    report_incident,
    list_incidents,
    read_incident,
    assess_incident,
    list_affected_members,
    note_authority_notified,
    close_incident,
    dismiss_incident,
)
