"""Errors on the wire: problem+json, RFC 9457. The only module that gives errors a status."""

import json
import random
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from server.kit import db, errors

log = structlog.get_logger(__name__)

STATUS: Final[Mapping[type[errors.DomainError], HTTPStatus]] = {
    errors.Malformed: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Refused: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.Gone: HTTPStatus.GONE,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
CONTENT_TYPE: Final = "application/problem+json"
FIELDS_MAX: Final = 20
AGAIN_S: Final = (1.0, 10.0)
"""When to come again after an outage of ours."""
# A member that we do not know is named only if it could be one of ours, misspelt: a caller may
# have put a coordinate, a phone or a token where a name belongs.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}", re.ASCII)
# What pydantic fills with parts of the input. Everything else in its texts is the schema's.
_ECHOES: Final = frozenset({"error", "tag", "tz_actual", "encoding_error"})


class FieldFault(BaseModel):
    """One place in the request that does not fit."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="JSON Pointer into the body, or the name of a parameter.")
    code: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details. ``code`` is the last part of ``type``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    fields: list[FieldFault] | None = None
    retry_after_s: float | None = None


class InvalidFields(errors.Invalid):
    """The body or the query does not fit its schema; ``fields`` names each place."""

    slug = "fields-invalid"
    title = "The request does not fit the schema"

    def __init__(self, fields: Iterable[FieldFault]) -> None:
        self.fields = tuple(fields)
        super().__init__(f"{len(self.fields)} place(s) do not fit; see fields.")

    def members(self) -> dict[str, object]:
        shown = self.fields[:FIELDS_MAX]
        return {"fields": [field.model_dump() for field in shown]}


def faults_of(error: ValidationError, *, query: bool = False) -> list[FieldFault]:
    """Return the places a model refused, without the values that stood there."""
    found = error.errors(include_input=False, include_url=False)[:FIELDS_MAX]
    return [
        FieldFault(
            path=path_of(*fault["loc"], query=query), code=fault["type"], detail=_words_of(fault)
        )
        for fault in found
    ]


def path_of(*steps: int | str, query: bool = False) -> str:
    """Return a JSON Pointer into the body, or ``?name`` of a query parameter."""
    shown = [str(step) if isinstance(step, int) or _NAME.fullmatch(step) else "?" for step in steps]
    return "?" + "/".join(shown) if query else "".join(f"/{step}" for step in shown)


def _words_of(fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":  # what follows a colon quotes the input, in any library
        return str(context.get("error", fault["msg"])).partition(":")[0]
    if _ECHOES.isdisjoint(context):
        return fault["msg"]
    if fault["type"] == "union_tag_invalid":
        return f"The member {context['discriminator']} should be one of {context['expected_tags']}"
    return re.split(r"[,:]", fault["msg"])[0]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into problem+json."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _of_http(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence; the type alone is logged
        return of_exception(error, _name(request), connected=request.transport is not None)


def of_exception(error: Exception, endpoint: str, *, connected: bool) -> web.Response:
    """Return the problem that tells of what a handler raised; log what nobody foresaw.

    ``connected`` is False where the caller went away.
    """
    if isinstance(error, errors.DomainError):
        return of_error(error)
    if isinstance(error, web.RequestPayloadError):
        return problem(HTTPStatus.BAD_REQUEST, "body-broken", "The body is not framed as HTTP asks")
    # Neither the message nor a traceback's values are logged: they may hold personal data.
    if not db.is_outage(error):
        log.error("unhandled_error", endpoint=endpoint, **where(error))
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error")
    if connected:
        log.warning("request_failed", endpoint=endpoint, **where(error))
    # Not the same for all: they would come back at once, in the moment in which it is up again.
    wait_s = round(random.uniform(*AGAIN_S), 1)  # noqa: S311 - no secret
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "Not available just now",
        headers={"Retry-After": str(ceil(wait_s))},
        retry_after_s=wait_s,
    )


def where(error: BaseException) -> dict[str, str]:
    """Return the type of ``error`` and the places it passed through, never its text."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": " < ".join(reversed(places[-6:]))}


def _of_http(error: web.HTTPException) -> web.Response:
    status = HTTPStatus(error.status)
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # its phrase differs between Pythons
        return problem(status, "body-too-large", "Body too large")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    slug = status.phrase.lower().replace(" ", "-")
    return problem(status, slug, status.phrase, headers=headers)


def of_error(error: errors.DomainError) -> web.Response:
    headers = {}
    members = error.members()
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(ceil(error.retry_after_s))
        members["retry_after_s"] = error.retry_after_s
    status = status_of(type(error))
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    detail = str(error)
    if detail:
        members["detail"] = detail
    return problem(status, error.slug, error.title, headers=headers, **members)


def problem(
    status: HTTPStatus,
    slug: str,
    title: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> web.Response:
    body = {
        "type": f"/problems/{slug}",
        "title": title,
        "status": status.value,
        "code": slug,
        **members,
    }
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False).encode(),
        content_type=CONTENT_TYPE,
        # An address may hold a customer's token: no refusal passes it on either.
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", **(headers or {})},
    )


def status_of(rule: type[errors.DomainError]) -> HTTPStatus:
    return next(STATUS[kind] for kind in rule.__mro__ if kind in STATUS)


def _name(request: web.Request) -> str:
    return request.match_info.route.name or "unmatched"
