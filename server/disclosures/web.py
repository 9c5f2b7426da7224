"""The register of disclosures over HTTP, and the file of a track that was released."""

import hashlib
from dataclasses import replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from server.credentials.access import DRIVER, STAFF, VAULT, me
from server.credentials.viewers import viewer
from server.disclosures import service
from server.disclosures.model import (
    Act,
    DisclosureAbroad,
    DisclosureActRefused,
    DisclosureEvidenceMissing,
    DisclosureFileNotThere,
    DisclosureMissing,
    DisclosureNobodyElse,
    DisclosureNotShared,
    DisclosureNotYours,
    DisclosureReleaserUnfit,
    DisclosureSealInvalid,
    DisclosureSecondPerson,
    DisclosureSpanMissing,
    MadeFile,
)
from server.disclosures.wire import (
    DisclosureBody,
    DisclosureFileQuery,
    DisclosuresQuery,
    DisclosureView,
    OwnDisclosureView,
    new_of,
    own_view,
    view,
)
from server.gate import handover
from server.gate import service as gates
from server.gate.drawing import in_thread
from server.gate.handover import Drawn, ReadsBusy
from server.gate.model import Gate, GateMissing, Purpose
from server.kit import db
from server.kit.api import Endpoint, Media, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.downloads import attachment
from server.kit.ids import uuid7
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Page, PageQuery, rfc3339
from server.reads.model import ReadPurpose, Screen
from server.tracking import render
from server.tracking import service as tracking
from server.tracking.model import Availability, TrackSpanInvalid, TrackTooLong
from server.tracking.service import SealedTrack
from server.vault.model import SubjectErased


@endpoint(
    "POST",
    "/v1/disclosures",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(
        GateMissing,
        DisclosureEvidenceMissing,
        DisclosureAbroad,
        DisclosureSpanMissing,
        DisclosureSealInvalid,
        TrackSpanInvalid,
        SubjectErased,
    ),
)
async def record_disclosure(request: web.Request, *, body: DisclosureBody) -> DisclosureView:
    """Record what is to be given to somebody outside. Nothing is given before it is released.

    Each ground needs its evidence: `consent` and `controller_change` a document's number and date,
    `functionality` also the service, `purpose` also the purpose, `authority` also the article of
    law, `defence_of_rights` the claim and a case. Whoever may release it is told that it waits.
    """
    at = now(request)
    async with transaction(request) as conn:
        shown = await service.record(
            conn,
            request.app[VAULT],
            request[COMPANY],
            new_of(body),
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return view(shown)


@endpoint("GET", "/v1/disclosures", access=STAFF, raises=(CursorInvalid,))
async def list_disclosures(
    request: web.Request, *, query: DisclosuresQuery
) -> Page[DisclosureView]:
    """List the register, the newest first; also what is sealed, and what was refused."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.register(
            conn,
            request.app[VAULT],
            request[COMPANY],
            driver_id=query.driver_id,
            state=query.state,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[view(one) for one in found], next_cursor=following)


@endpoint("GET", "/v1/disclosures/{disclosure_id}", access=STAFF, raises=(DisclosureMissing,))
async def read_disclosure(request: web.Request, *, disclosure_id: UUID) -> DisclosureView:
    """Read one disclosure."""
    async with transaction(request, readonly=True) as conn:
        shown = await service.one(conn, request.app[VAULT], request[COMPANY], disclosure_id)
    return view(shown)


@endpoint(
    "POST",
    "/v1/disclosures/{disclosure_id}/release",
    access=STAFF,
    raises=(
        DisclosureMissing,
        DisclosureActRefused,
        DisclosureSecondPerson,
        DisclosureNobodyElse,
        DisclosureReleaserUnfit,
        DisclosureFileNotThere,
    ),
)
async def release_disclosure(request: web.Request, *, disclosure_id: UUID) -> DisclosureView:
    """Let it be given out, once and for good. The driver is told, unless it is sealed.

    For an authority, and in defence of rights, it is another person than who recorded it: a
    dispatcher or main user, in defence of rights a main user. A company with only one cannot.
    """
    return await _decided(request, disclosure_id, Act.RELEASE)


@endpoint(
    "POST",
    "/v1/disclosures/{disclosure_id}/refuse",
    access=STAFF,
    raises=(DisclosureMissing, DisclosureActRefused),
)
async def refuse_disclosure(request: web.Request, *, disclosure_id: UUID) -> DisclosureView:
    """Let it never be given out."""
    return await _decided(request, disclosure_id, Act.REFUSE)


@endpoint(
    "POST",
    "/v1/disclosures/{disclosure_id}/cancel",
    access=STAFF,
    raises=(DisclosureMissing, DisclosureActRefused, DisclosureNotYours),
)
async def cancel_disclosure(request: web.Request, *, disclosure_id: UUID) -> DisclosureView:
    """Take back what the caller recorded and nobody released yet."""
    return await _decided(request, disclosure_id, Act.CANCEL)


@endpoint(
    "GET",
    "/v1/disclosures/{disclosure_id}/file",
    access=STAFF,
    media=(
        Media(content_type="application/geo+json", schema={"type": "object"}),
        Media(content_type="application/gpx+xml"),
        Media(content_type="text/csv"),
    ),
    raises=(
        DisclosureMissing,
        DisclosureFileNotThere,
        DisclosureNotShared,
        GateMissing,
        TrackTooLong,
        TrackSpanInvalid,
        ReadsBusy,
    ),
    purposes=(ReadPurpose.DISCLOSURE,),
)
async def read_disclosure_file(
    request: web.Request, *, disclosure_id: UUID, query: DisclosureFileQuery
) -> web.StreamResponse:
    """Make the file of a track that was released, for seven days after that.

    Its hash is written down before it leaves, and that the caller looked at the driver's positions.
    An authority is given all that is kept of the span. Others are given what was recorded under
    the present consent to plan versus fact, and nothing while the driver withholds it.
    """
    at, company_id, file_id = now(request), request[COMPANY], uuid7()

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            await db.one_snapshot(conn)
            found = await service.track_of(
                conn, request.app[VAULT], company_id, disclosure_id, now=at
            )
        body, positions, content_type = await in_thread(_written, found, query.format)
        made = MadeFile(
            file_id=file_id,
            disclosure_id=disclosure_id,
            format=query.format,
            positions=positions,
            size_bytes=len(body),
            sha256=hashlib.sha256(body).digest(),
            made_at=at,
            made_by=me(request),
        )
        async with transaction(request) as conn:
            await service.note_file(conn, company_id, made, by=viewer(request), now=at)
        return Drawn(
            body=body,
            content_type=content_type,
            headers={"Content-Disposition": attachment(f"track_{file_id}.{query.format}")},
            gate=found.gate,
            stands=partial(_stands, believed=found.gate, fenced=found.fenced, at=at),
        )

    seen = handover.viewing(request, viewer(request), ReadPurpose.DISCLOSURE, Screen.EXPORT)
    # Of the moment at which the file was made: so a read that is sealed is found by it.
    return await handover.answer(request, replace(seen, clock=lambda: at), draw)


@endpoint("GET", "/v1/me/disclosures", access=DRIVER, raises=(CursorInvalid,))
async def list_my_disclosures(request: web.Request, *, query: PageQuery) -> Page[OwnDisclosureView]:
    """List what was given of the caller to somebody outside, to whom and why, the newest first.

    What an authority ordered to keep secret is in the list from the day on which the order ends.
    """
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        found, following = await service.own(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            cursor=query.cursor,
            limit=query.limit,
            now=at,
        )
    return Page(
        items=[own_view(one) for one in found],
        next_cursor=following,
    )


async def _decided(request: web.Request, disclosure_id: UUID, act: Act) -> DisclosureView:
    at = now(request)
    async with transaction(request) as conn:
        shown = await service.decide(
            conn,
            request.app[VAULT],
            request[COMPANY],
            disclosure_id,
            act,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return view(shown)


async def _stands(conn: db.Connection, *, believed: Gate, fenced: bool, at: datetime) -> bool:
    """Tell whether the file may still leave: an authority's does whatever the driver withdraws."""
    try:
        found = await gates.read(conn, believed.company_id, believed.driver_id)
    except GateMissing:
        return False
    if not fenced:
        return True
    as_it_was = (found.epoch, found.rev) == (believed.epoch, believed.rev)
    return as_it_was and found.since(Purpose.PLAN_FACT, at) is not None


def _written(found: SealedTrack, form: str) -> tuple[bytes, int, str]:
    """Return the whole file, how many positions are in it, and its content type."""
    track = tracking.opened(found)
    availability = Availability.FULL if len(track) else Availability.NO_POSITIONS
    writer = render.FILES[form](None)
    head = {
        "driver_id": str(found.gate.driver_id),
        "from": rfc3339(found.since),
        "to": rfc3339(found.until),
        "purpose": ReadPurpose.DISCLOSURE.value,
        "availability": availability.value,
    }
    body = writer.begin(head) + writer.add(track) + writer.end()
    return body, len(track), writer.content_type


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    record_disclosure,
    list_disclosures,
    read_disclosure,
    release_disclosure,
    refuse_disclosure,
    cancel_disclosure,
    read_disclosure_file,
    list_my_disclosures,
)
