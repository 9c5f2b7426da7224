"""A driver's own data as a package, over HTTP: asked for, looked after, fetched once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from aiohttp import web
from pydantic import Field, TypeAdapter

from server.accounts.model import Locale
from server.credentials.access import DRIVER, PUBLIC, VAULT, after_step_up, me
from server.credentials.model import StepUpNeeded
from server.exports import service
from server.exports.model import (
    STEPS,
    ExportLinkOver,
    ExportMissing,
    ExportNotReady,
    ExportsTooMany,
    Progress,
    State,
)
from server.gate.drawing import ReadsBusy, Streams
from server.kit import db
from server.kit.api import Endpoint, Media, endpoint, json_bytes, validated
from server.kit.body import BODY_BYTES_MAX, JsonKeyTwice, read_file, read_json, refuse_doubled_keys
from server.kit.downloads import attachment
from server.kit.tokens import TOKEN_CHARS_MAX
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Text, Wire

ZIP: Final = Media(
    content_type="application/zip",
    schema={
        "type": "string",
        "format": "binary",
        "description": "See docs/explanation/exports.md.",
    },
)
STREAMS_MAX: Final = 8
STREAMS_OF_COMPANY_MAX: Final = 4
STALLED_S_MAX: Final = 30.0
"""How long a caller may take for one part of a package, of 256 KiB."""

_streams: Final = Streams(process_max=STREAMS_MAX, company_max=STREAMS_OF_COMPANY_MAX)


class ExportView(Wire):
    export_id: UUID
    state: State
    language: Locale
    asked_at: Instant
    ready_at: Instant | None
    expires_at: Instant
    """When it is removed; it cannot be fetched from then on."""
    steps_done: int
    steps_total: int
    step: str | None = Field(description="What is being written; null when all is.")
    rows_done: int = Field(
        description="Rows that were read, and positions: of those each counts in three files."
    )
    size_bytes: int | None


class ExportsView(Wire):
    items: list[ExportView]


class ExportLinkView(Wire):
    token: str
    """Shown once. It is sent to the endpoint that downloads, in the body: never in an address."""
    expires_at: Instant


class Fetched(Wire):
    token: Annotated[str, Text(TOKEN_CHARS_MAX)]


FORM: Final = Media(
    content_type="application/x-www-form-urlencoded", schema=Fetched.model_json_schema()
)
_FETCHED: Final[TypeAdapter[Any]] = TypeAdapter(Fetched)


@endpoint(
    "POST",
    "/v1/me/exports",
    access=DRIVER,
    status=HTTPStatus.ACCEPTED,
    raises=(ExportsTooMany,),
)
async def ask_for_export(request: web.Request) -> ExportView:
    """Ask for everything that is kept of the caller, as one package.

    It is made within minutes, and a notice tells when it is ready. While one is being made, that
    one is the answer. Also who is blocked, has left, or is to be erased may ask.
    """
    async with transaction(request) as conn:
        asked = await service.ask(
            conn, request.app[VAULT], request[COMPANY], me(request), now=now(request)
        )
    return _view(request, asked)


@endpoint("GET", "/v1/me/exports", access=DRIVER)
async def list_exports(request: web.Request) -> ExportsView:
    """List the caller's packages that are still kept, newest first."""
    async with transaction(request, readonly=True) as conn:
        found = await service.exports(conn, request[COMPANY], me(request))
    return ExportsView(items=[_view(request, one) for one in found])


@endpoint("GET", "/v1/me/exports/{export_id}", access=DRIVER, raises=(ExportMissing,))
async def read_export(request: web.Request, *, export_id: UUID) -> ExportView:
    """Read how far a package is."""
    async with transaction(request, readonly=True) as conn:
        found = await service.export(conn, request[COMPANY], me(request), export_id)
    return _view(request, found)


@endpoint(
    "POST",
    "/v1/me/exports/{export_id}/link",
    access=after_step_up(DRIVER),
    status=HTTPStatus.CREATED,
    raises=(ExportMissing, ExportNotReady, StepUpNeeded),
)
async def link_export(request: web.Request, *, export_id: UUID) -> ExportLinkView:
    """Make a link to a package: a token that is good for one download, for ten minutes.

    The download itself needs no session. The link that was made before is over with this one.
    """
    async with transaction(request) as conn:
        link = await service.link(conn, request[COMPANY], me(request), export_id, now=now(request))
    return ExportLinkView(token=link.token, expires_at=link.expires_at)


@endpoint(
    "POST",
    "/v1/exports/download",
    access=PUBLIC,
    raises=(ExportLinkOver, ReadsBusy),
    media=(ZIP,),
    takes=(FORM,),
    raw_body=Fetched,
)
async def download_export(request: web.Request) -> web.StreamResponse:
    """Download a package with the token of its link, from a form of a page or as JSON.

    The token is used up as the download begins. Where that breaks off, make another link.
    """
    token = service.token_of(await _token(request))
    request[COMPANY] = token.company_id
    with _streams.one(token.company_id):
        async with transaction(request) as conn:
            found = await service.spend(conn, token, now=now(request))
        content = service.content(request.app[POOL], request.app[VAULT], token.company_id, found)
        headers = {
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": attachment(found.file_name),
        }
        response = web.StreamResponse(headers=headers)
        response.content_type = ZIP.content_type
        response.content_length = found.size_bytes
        await response.prepare(request)
        try:
            await _send(response, content)
        except (ExportMissing, TimeoutError, ConnectionError, *db.OUTAGES):
            # It was begun: nothing else can be said, but that it is not whole.
            if request.transport is not None:
                request.transport.abort()
    return response


async def _send(response: web.StreamResponse, content: AsyncGenerator[bytes]) -> None:
    async with aclosing(content):
        async for part in content:
            async with asyncio.timeout(STALLED_S_MAX):
                await response.write(part)
    await response.write_eof()


async def _token(request: web.Request) -> str:
    """Return the token in the body, whichever of the two forms that has."""
    if request.content_type == FORM.content_type:
        form = await read_file(request, content_type=FORM.content_type, bytes_max=BODY_BYTES_MAX)
        fields = parse_qs(form.decode("ascii", "replace"), keep_blank_values=True)
        if any(len(values) > 1 for values in fields.values()):
            raise JsonKeyTwice
        body = json_bytes({name: values[0] for name, values in fields.items()})
    else:
        body = await read_json(request, bytes_max=BODY_BYTES_MAX)
        refuse_doubled_keys(body)
    fetched: Fetched = validated(_FETCHED, body)
    return fetched.token


def _view(request: web.Request, progress: Progress) -> ExportView:
    export = progress.export
    return ExportView(
        export_id=export.export_id,
        state=export.state_at(now(request)),
        language=export.language,
        asked_at=export.asked_at,
        ready_at=export.ready_at,
        expires_at=export.expires_at,
        steps_done=progress.steps_done,
        steps_total=len(STEPS),
        step=progress.step,
        rows_done=export.rows_done,
        size_bytes=export.size_bytes,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    ask_for_export,
    list_exports,
    read_export,
    link_export,
    download_export,
)
