"""The endpoint to which devices upload positions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from server.credentials.access import DEVICE, VAULT
from server.credentials.model import NotAuthenticated
from server.devices.model import NoticeRequired
from server.gate.model import GateBusy
from server.kit.api import Endpoint, endpoint
from server.kit.body import JsonKeyTwice, read_json
from server.kit.http_direct import DIRECT, Direct
from server.kit.ops import METRICS
from server.kit.web import CLOCK, POOL, Clock
from server.uploads import committer
from server.uploads.model import UploadAnswer, UploadsBusy
from server.uploads.service import Uploads
from server.uploads.wire import UploadBody, UploadView, parse_upload

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
    return await _uploaded(request, request.app[UPLOADS], request.app[CLOCK])


async def _uploaded(request: web.BaseRequest, uploads: Uploads, clock: Clock) -> UploadView:
    headers = request.headers.getall("Authorization", [])
    scheme, _, secret = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    token = uploads.tokens.parsed(secret) if scheme.lower() == "bearer" else None
    if token is None:
        raise NotAuthenticated
    # Before the body is read: a forged token must not cost what reading one costs.
    await uploads.admit(token, now=clock())
    body = await read_json(request, bytes_max=UPLOAD_BYTES_MAX)
    if len(body) < PARSE_ASIDE_BYTES_MIN:
        upload = parse_upload(body)
    else:
        async with uploads.parsing:
            upload = await asyncio.to_thread(parse_upload, body)
    return _view(await uploads.take(token, upload, now=clock()))


def _view(answer: UploadAnswer) -> UploadView:
    return UploadView(
        accepted=answer.accepted,
        duplicate=answer.duplicate,
        refused=[{"index": one.place, "reason": one.reason} for one in answer.refused],
        consent=answer.consent,
        collect=answer.collect,
        purge=answer.purge,
    )


def uploading(dsn: str) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return the ``cleanup_ctx`` entry that runs this process's committer.

    Needs POOL and VAULT; sets UPLOADS, and DIRECT. ``dsn`` is that of ``main``.
    """

    async def running(app: web.Application) -> AsyncIterator[None]:
        async with committer.running(dsn, app[POOL]) as stores:
            app[UPLOADS] = Uploads(app[POOL], app[VAULT], stores)
            app[DIRECT] = _direct(app)
            yield

    return running


def _direct(app: web.Application) -> Direct:
    """Return the same endpoint for the way beside the application."""
    one, uploads, clock = upload_positions, app[UPLOADS], app[CLOCK]
    if one.answer is None:
        raise TypeError("an upload is answered")
    write = one.answer.dump_json

    async def answer(request: web.BaseRequest) -> bytes:
        return write(await _uploaded(request, uploads, clock))

    observe = app[METRICS].observer(one.name, one.method) if METRICS in app else _observe_nothing
    return Direct(method=one.method, path=one.path, name=one.name, answer=answer, observe=observe)


def _observe_nothing(_status: int | None, _seconds: float) -> None:
    pass


ENDPOINTS: Final[tuple[Endpoint, ...]] = (upload_positions,)
