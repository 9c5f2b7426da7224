"""Endpoints of positions: upload, and a driver's track."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final
from uuid import UUID

from aiohttp import web

from server.credentials.access import CALLER, DEVICE, VAULT, everyone
from server.credentials.model import NotAuthenticated, Scope
from server.credentials.viewers import viewer
from server.devices.model import NoticeRequired
from server.gate import handover
from server.gate.handover import Drawn, ReadsBusy
from server.gate.model import GateBusy, GateMissing
from server.kit.api import Endpoint, Media, endpoint
from server.kit.body import JsonKeyTwice, read_json
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import rfc3339
from server.ledger import model as ledger
from server.tracking import committer, render, service
from server.tracking.model import (
    Availability,
    ReadPurpose,
    TrackSpanInvalid,
    TrackTooLong,
    UploadAnswer,
    UploadsBusy,
)
from server.tracking.uploads import Uploads
from server.tracking.wire import (
    RefusalView,
    TrackQuery,
    TrackView,
    UploadBody,
    UploadView,
    parse_upload,
)

UPLOADS: web.AppKey[Uploads] = web.AppKey("UPLOADS")

UPLOAD_BYTES_MAX: Final = 2 * 1024 * 1024
PARSE_ASIDE_BYTES_MIN: Final = 64 * 1024
"""From so many bytes on a body is parsed in a thread: the other uploads must not wait for it."""


@endpoint(
    "POST",
    "/v1/positions",
    access=DEVICE,
    raw_body=UploadBody,
    body_bytes_max=UPLOAD_BYTES_MAX,
    raises=(NotAuthenticated, NoticeRequired, GateBusy, UploadsBusy, JsonKeyTwice),
)
async def upload_positions(request: web.Request) -> UploadView:
    """Upload positions of a device.

    The answer comes after they are flushed to disk. A position that may not be kept is refused
    with a reason and forgotten; see docs/reference/refusals.md.
    """
    uploads = request.app[UPLOADS]
    headers = request.headers.getall("Authorization", [])
    scheme, _, secret = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    token = uploads.tokens.parsed(secret) if scheme.lower() == "bearer" else None
    if token is None:
        raise NotAuthenticated
    # Before the body is read: a forged token must not cost what reading one costs.
    await uploads.admit(token, now=now(request))
    body = await read_json(request, bytes_max=UPLOAD_BYTES_MAX)
    if len(body) < PARSE_ASIDE_BYTES_MIN:
        upload = parse_upload(body)
    else:
        async with uploads.parsing:
            upload = await asyncio.to_thread(parse_upload, body)
    return _view(await uploads.take(token, upload, now=now(request)))


def _view(answer: UploadAnswer) -> UploadView:
    return UploadView(
        accepted=answer.accepted,
        duplicate=answer.duplicate,
        refused=[RefusalView(index=one.place, reason=one.reason) for one in answer.refused],
        consent=answer.consent,
        collect=answer.collect,
        purge=answer.purge,
    )


@endpoint(
    "GET",
    "/v1/drivers/{driver_id}/track",
    access=everyone(Scope.TRACKS_READ),
    answer=TrackView,
    media=(
        Media(content_type="application/geo+json", schema={"type": "object"}),
        Media(content_type="application/gpx+xml"),
    ),
    raises=(GateMissing, TrackSpanInvalid, TrackTooLong, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT, ReadPurpose.SUBJECT_ACCESS),
)
async def read_track(
    request: web.Request, *, driver_id: UUID, query: TrackQuery
) -> web.StreamResponse:
    """Read where a driver went.

    Staff see what was recorded under the present consent to plan versus fact; drivers see
    everything that is kept of themselves.
    """
    purpose = service.purpose_of(request[CALLER], driver_id)

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await service.gather(
                conn,
                request.app[VAULT],
                request[COMPANY],
                driver_id,
                query.since,
                query.until,
                purpose=purpose,
                now=now(request),
            )
        # The connection is back by here: uploads and withdrawals wait for no reader.
        return await asyncio.to_thread(_drawn, found, driver_id, query, purpose)

    seen = None
    if purpose is not ReadPurpose.SUBJECT_ACCESS:
        recorded = ledger.ReadPurpose(purpose.value)
        # A file for other programs goes out of our sight: the driver is told that it was one.
        screen = ledger.Screen.TRACK if query.format == "json" else ledger.Screen.EXPORT
        seen = handover.viewing(request, viewer(request), recorded, screen)
    return await handover.answer(request, seen, draw)


def _drawn(
    found: service.SealedTrack, driver_id: UUID, query: TrackQuery, purpose: ReadPurpose
) -> Drawn:
    track = service.opened(found)
    head = {
        "driver_id": str(driver_id),
        "from": rfc3339(query.since),
        "to": rfc3339(query.until),
        "purpose": purpose.value,
        "availability": track.availability.value,
    }
    content_type, write = render.FORMATS[query.format]
    return Drawn(
        body=write(track, head),
        content_type=content_type,
        gate=found.gate if found.fenced and len(track) else None,
        refused=driver_id if track.availability is Availability.NOT_SHARED else None,
    )


def uploading(dsn: str) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return the ``cleanup_ctx`` entry that runs this process's committer.

    Needs POOL and VAULT; sets UPLOADS. ``dsn`` is that of ``main``.
    """

    async def running(app: web.Application) -> AsyncIterator[None]:
        async with committer.running(dsn, app[POOL]) as stores:
            app[UPLOADS] = Uploads(app[POOL], app[VAULT], stores)
            yield

    return running


ENDPOINTS: Final[tuple[Endpoint, ...]] = (upload_positions, read_track)
