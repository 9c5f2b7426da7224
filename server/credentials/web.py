"""The endpoints of a driver's devices and of the API tokens."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from server.credentials import service
from server.credentials.access import (
    ANY_MEMBER,
    DRIVER,
    MAIN_USER,
    VAULT,
    after_step_up,
    digest_of,
    me,
)
from server.credentials.model import (
    ApiTokenExpiryPast,
    ApiTokenMissing,
    DeviceMissing,
    MemberMissing,
    SessionMissing,
    StepUpNeeded,
)
from server.credentials.viewers import viewer
from server.credentials.wire import (
    AddedApiToken,
    ApiTokenView,
    DeviceView,
    Ended,
    NewApiToken,
    OpenSessionView,
)
from server.gate import service as gate
from server.journal.model import StopUnconfirmed
from server.journal.web import confirm
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Page, PageQuery


@endpoint("GET", "/v1/me/devices", access=DRIVER)
async def list_devices(request: web.Request) -> Page[DeviceView]:
    """List the caller's phone apps, revoked ones too: at most 256, on one page."""
    async with transaction(request, readonly=True) as conn:
        found = await service.devices(conn, request.app[VAULT], request[COMPANY], me(request))
    return Page(
        items=[
            DeviceView(
                device_id=one.device_id,
                name=name,
                created_at=one.created_at,
                revoked_at=one.revoked_at,
            )
            for one, name in found
        ]
    )


@endpoint(
    "DELETE",
    "/v1/me/devices/{device_id}",
    access=DRIVER,
    raises=(DeviceMissing, StopUnconfirmed),
)
async def revoke_device(request: web.Request, *, device_id: UUID) -> None:
    """Make a phone app's token stop working at once, everywhere."""
    async with transaction(request) as conn:
        await service.revoke_device(
            conn, request[COMPANY], me(request), device_id, by=viewer(request), now=now(request)
        )
    await confirm(request)


@endpoint("GET", "/v1/me/sessions", access=ANY_MEMBER)
async def list_sessions(request: web.Request) -> Page[OpenSessionView]:
    """List the caller's log-ins that are open, the newest first, on one page."""
    current = digest_of(request)
    async with transaction(request, readonly=True) as conn:
        found = await service.open_sessions(conn, request[COMPANY], me(request), now=now(request))
    return Page(
        items=[
            OpenSessionView(
                session_id=one.session_id,
                created_at=one.created_at,
                expires_at=one.expires_at,
                current=one.digest == current,
            )
            for one in found
        ]
    )


@endpoint(
    "DELETE",
    "/v1/me/sessions/{session_id}",
    access=after_step_up(ANY_MEMBER),
    raises=(SessionMissing, StepUpNeeded),
)
async def end_session(request: web.Request, *, session_id: UUID) -> None:
    """End one of the caller's own log-ins, at once."""
    async with transaction(request) as conn:
        await service.end_session(conn, request[COMPANY], me(request), session_id, now=now(request))
    await _drained(request)


@endpoint("DELETE", "/v1/me/sessions", access=after_step_up(ANY_MEMBER), raises=(StepUpNeeded,))
async def end_other_sessions(request: web.Request) -> Ended:
    """End all of the caller's log-ins but this one, at once."""
    kept = digest_of(request)
    async with transaction(request) as conn:
        ended = await service.end_other_sessions(conn, request[COMPANY], me(request), kept)
    await _drained(request)
    return Ended(ended=ended)


@endpoint(
    "DELETE",
    "/v1/members/{member_id}/sessions",
    access=after_step_up(MAIN_USER),
    raises=(MemberMissing, StepUpNeeded),
)
async def end_sessions_of(request: web.Request, *, member_id: UUID) -> Ended:
    """Log a member out everywhere, at once. A driver's devices stay."""
    async with transaction(request) as conn:
        ended = await service.end_sessions_of(
            conn, request[COMPANY], member_id, by=viewer(request), now=now(request)
        )
    await _drained(request)
    return Ended(ended=ended)


async def _drained(request: web.Request) -> None:
    # A frame may be on its way to a screen that one of the sessions had opened.
    await gate.drain_frames(request.app[POOL], request[COMPANY])


@endpoint("GET", "/v1/api-tokens", access=MAIN_USER, raises=(CursorInvalid,))
async def list_api_tokens(request: web.Request, *, query: PageQuery) -> Page[ApiTokenView]:
    """List the company's API tokens, without the tokens themselves."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.api_tokens(
            conn, request[COMPANY], cursor=query.cursor, limit=query.limit
        )
    return Page(items=[ApiTokenView.model_validate(one) for one in found], next_cursor=following)


@endpoint(
    "POST",
    "/v1/api-tokens",
    access=after_step_up(MAIN_USER),
    status=HTTPStatus.CREATED,
    raises=(ApiTokenExpiryPast, StepUpNeeded),
)
async def add_api_token(request: web.Request, *, body: NewApiToken) -> AddedApiToken:
    """Make a token for an integration: it acts for the company, never for a person."""
    async with transaction(request) as conn:
        made, token = await service.add_api_token(
            conn,
            request[COMPANY],
            name=body.name,
            scopes=body.scopes,
            expires_at=body.expires_at,
            now=now(request),
        )
    return AddedApiToken(token=token, **ApiTokenView.model_validate(made).model_dump())


@endpoint(
    "DELETE",
    "/v1/api-tokens/{api_token_id}",
    access=MAIN_USER,
    raises=(ApiTokenMissing, StopUnconfirmed),
)
async def revoke_api_token(request: web.Request, *, api_token_id: UUID) -> None:
    """Make an API token stop working at once."""
    async with transaction(request) as conn:
        await service.revoke_api_token(
            conn, request[COMPANY], api_token_id, by=viewer(request), now=now(request)
        )
    # A frame may be on its way to a screen that this token had opened.
    await gate.drain_frames(request.app[POOL], request[COMPANY])
    await confirm(request)


ENDPOINTS: Final = (
    list_sessions,
    end_session,
    end_other_sessions,
    end_sessions_of,
    list_devices,
    revoke_device,
    list_api_tokens,
    add_api_token,
    revoke_api_token,
)
