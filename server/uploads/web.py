"""The endpoint to which devices upload positions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import lru_cache
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web
from pydantic import TypeAdapter

from server.credentials.access import DEVICE, VAULT
from server.credentials.model import NotAuthenticated
from server.deposits import committer
from server.deposits.model import UploadsBusy
from server.devices.model import NoticeRequired
from server.gate.model import GateBusy
from server.kit.api import Endpoint, endpoint
from server.kit.body import JsonKeyTwice, decode_body, read_json, told_bytes
from server.kit.http_direct import DIRECT, Busy, Direct, Done, Headers
from server.kit.ops import METRICS
from server.kit.tokens import Token
from server.kit.web import CLOCK, POOL, Clock
from server.uploads.model import TooManyUploads, UploadAnswer
from server.uploads.service import Uploads
from server.uploads.wire import UploadBody, UploadView, parse_upload

_ANSWER: Final = TypeAdapter[UploadView](UploadView)
USUAL_ANSWERS_MAX: Final = 1_024
T = TypeVar("T")
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
    raises=(
        NotAuthenticated,
        NoticeRequired,
        GateBusy,
        TooManyUploads,
        UploadsBusy,
        JsonKeyTwice,
    ),
)
async def upload_positions(request: web.Request) -> UploadView:
    """Upload positions of a device.

    The answer comes after they are flushed to disk. A position that may not be kept is refused
    with a reason and forgotten; see docs/reference/refusals.md.
    """
    uploads, clock = request.app[UPLOADS], request.app[CLOCK]
    claimed = _token_of(request.headers, uploads)
    # Before the body is read: a forged token must not cost what reading one costs.
    told = told_bytes(request)
    size_bytes = UPLOAD_BYTES_MAX if told is None else min(told, UPLOAD_BYTES_MAX)
    token, place = await uploads.admit(claimed, size_bytes, now=clock())
    with place:
        body = await read_json(request, bytes_max=UPLOAD_BYTES_MAX)
        place.holds(len(body))
        return _view(await _taken(uploads, token, body, clock))


def _token_of(headers: Headers, uploads: Uploads) -> Token | None:
    given = headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return uploads.tokens.parsed(secret) if scheme.lower() == "bearer" else None


async def _taken(uploads: Uploads, token: Token, body: bytes, clock: Clock) -> UploadAnswer:
    if len(body) < PARSE_ASIDE_BYTES_MIN:
        upload = parse_upload(body)
    else:
        async with uploads.parsing:
            upload = await asyncio.to_thread(parse_upload, body)
    return await uploads.take(token, upload, now=clock())


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
            app[UPLOADS] = uploads = Uploads(app[POOL], app[VAULT], stores)
            one = upload_positions
            app[DIRECT] = Direct(
                method=one.method,
                path=one.path,
                name=one.name,
                begin=_Beside(uploads, app[CLOCK]).begin,
                observe=app[METRICS].observer(one.name, one.method) if METRICS in app else _unseen,
                busy=Busy(told=stores.busy, knows=uploads.serves),
            )
            yield
            await uploads.end()

    return running


class _Beside:
    """The same endpoint for the way beside the application."""

    def __init__(self, uploads: Uploads, clock: Clock) -> None:
        self._uploads = uploads
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, headers: Headers, body: bytes, done: Done) -> None:
        """Answer at once or later; only what is unusual about an upload needs a task."""
        uploads, now = self._uploads, self._clock()
        token = _token_of(headers, uploads)
        encodings = headers.getall(hdrs.CONTENT_ENCODING, [])
        is_short = not encodings and len(body) < PARSE_ASIDE_BYTES_MIN
        place = uploads.enter(token, len(body)) if is_short and token is not None else None
        if token is None or place is None:
            self._later(self._admitted(token, encodings, body), done)
            return

        def answered(answer: UploadAnswer | Exception | None) -> None:
            if answer is None:
                self._later(uploads.take(token, upload, now=now), left)
            else:
                left(answer)

        def left(answer: UploadAnswer | Exception) -> None:
            place.leave()
            done(answer if isinstance(answer, Exception) else _json(answer))

        try:
            place.holds(len(body))
            upload = parse_upload(body)
            if not uploads.begin(token, upload, answered, now=now):
                answered(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the place is left
            left(error)

    async def _admitted(self, claimed: Token | None, encodings: list[str], body: bytes) -> bytes:
        uploads, clock = self._uploads, self._clock
        token, place = await uploads.admit(claimed, len(body), now=clock())
        with place:
            decoded = decode_body(body, encodings, bytes_max=UPLOAD_BYTES_MAX)
            place.holds(len(decoded))
            return _json(await _taken(uploads, token, decoded, clock))

    def _later(
        self, answer: Coroutine[None, None, T], told: Callable[[T | Exception], None]
    ) -> None:
        def ended(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            if task.cancelled():  # the server is stopping
                return
            error = task.exception()
            if error is None:
                told(task.result())
            elif isinstance(error, Exception):
                told(error)

        task = asyncio.get_running_loop().create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(ended)


def _json(answer: UploadAnswer) -> bytes:
    return _ANSWER.dump_json(_view(answer)) if answer.refused else _usual_json(answer)


@lru_cache(maxsize=USUAL_ANSWERS_MAX)
def _usual_json(answer: UploadAnswer) -> bytes:
    """Write an answer that refuses nothing: nearly all are alike."""
    return _ANSWER.dump_json(_view(answer))


def _unseen(_status: int | None, _seconds: float) -> None:
    pass


ENDPOINTS: Final[tuple[Endpoint, ...]] = (upload_positions,)
