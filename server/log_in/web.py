"""Logging in and out."""

from collections.abc import AsyncIterator
from datetime import datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from server.accounts import service as accounts
from server.accounts.logins import EmailUnreadable, PhoneUnreadable
from server.credentials import service as credentials
from server.credentials.access import (
    ANY_MEMBER,
    CALLER,
    COOKIE,
    PUBLIC,
    VAULT,
    digest_of,
    me,
    while_enrolling,
)
from server.credentials.model import NotAuthenticated
from server.gate import service as gate
from server.kit.api import endpoint
from server.kit.client_address import client_address
from server.kit.db import Connection
from server.kit.neighbours import neighbours_of
from server.kit.web import COMPANY, POOL, now, transaction
from server.log_in import service
from server.log_in.attempts import Attempts
from server.log_in.model import (
    SESSION_LASTS,
    CodeNeeded,
    CompanyNeeded,
    LogInBusy,
    LoginFailed,
    TooManyAttempts,
)
from server.log_in.passwords import Passwords
from server.log_in.service import Attempt, Proof
from server.log_in.telling import Telling
from server.log_in.wire import (
    LogIn,
    SessionCompany,
    SessionMember,
    SessionView,
    SteppedUp,
    StepUp,
)

PASSWORDS: web.AppKey[Passwords] = web.AppKey("PASSWORDS")
ATTEMPTS: web.AppKey[Attempts] = web.AppKey("ATTEMPTS")
TELLING: web.AppKey[Telling] = web.AppKey("TELLING")


async def logging_in(app: web.Application) -> AsyncIterator[None]:
    """Hold what log-ins share in this process; for ``app.cleanup_ctx``."""
    passwords = Passwords()
    app[PASSWORDS] = passwords
    app[ATTEMPTS] = Attempts(neighbours=neighbours_of(app))
    app[TELLING] = Telling(app[POOL])
    yield
    await app[TELLING].close()
    passwords.close()


@endpoint(
    "POST",
    "/v1/session",
    access=PUBLIC,
    answer=SessionView,
    raises=(
        PhoneUnreadable,
        EmailUnreadable,
        LoginFailed,
        CodeNeeded,
        CompanyNeeded,
        TooManyAttempts,
        LogInBusy,
    ),
)
async def open_session(request: web.Request, *, body: LogIn) -> web.Response:
    """Log in by phone or e-mail.

    Browsers get a cookie, everybody else a token in the answer. A person who works for several
    companies is asked which, once the password was right.
    """
    at, app = now(request), request.app
    lasts = SESSION_LASTS[body.transport]
    session = await service.log_in(
        app[POOL],
        app[VAULT],
        app[PASSWORDS],
        app[ATTEMPTS],
        app[TELLING],
        Attempt(
            login=body.login,
            password=body.password,
            company_id=body.company_id,
            address=client_address(request),
            code=body.code,
        ),
        lasts=lasts,
        now=at,
    )
    request[COMPANY] = session.company_id
    async with transaction(request, readonly=True) as conn:
        token = session.token if body.transport == "bearer" else None
        view = await _session_view(
            request, conn, session.member_id, expires_at=session.expires_at, token=token
        )
    answer = _own_answer(view.model_dump_json())
    if body.transport == "cookie":
        _set_cookie(answer, session.token, lasts_s=int(lasts.total_seconds()))
    return answer


@endpoint("GET", "/v1/session", access=while_enrolling(ANY_MEMBER))
async def read_session(request: web.Request) -> SessionView:
    """Return who is logged in, for which company, until when."""
    async with transaction(request, readonly=True) as conn:
        ends = await credentials.session_ends(conn, request[COMPANY], digest_of(request))
        if ends is None:
            raise NotAuthenticated
        return await _session_view(
            request,
            conn,
            me(request),
            expires_at=ends,
            token=None,
            stepped_up_until=request[CALLER].stepped_up_until,
        )


@endpoint(
    "POST",
    "/v1/sessions/step-up",
    access=while_enrolling(ANY_MEMBER),
    raises=(LoginFailed, CodeNeeded, TooManyAttempts, LogInBusy),
)
async def step_up(request: web.Request, *, body: StepUp) -> SteppedUp:
    """Prove again who is at this session.

    For ten minutes it may then do what gives somebody new rights. Wrong passwords count as attempts
    to log in.
    """
    app = request.app
    proof = Proof(
        company_id=request[COMPANY],
        member_id=me(request),
        digest=digest_of(request),
        password=body.password,
        code=body.code,
        address=client_address(request),
    )
    until = await service.step_up(
        app[POOL], app[VAULT], app[PASSWORDS], app[ATTEMPTS], app[TELLING], proof, now=now(request)
    )
    return SteppedUp(stepped_up_until=until)


@endpoint("DELETE", "/v1/session", access=while_enrolling(ANY_MEMBER), status=HTTPStatus.NO_CONTENT)
async def close_session(request: web.Request) -> web.Response:
    """Log out. The token or cookie stops working at once."""
    async with transaction(request) as conn:
        await credentials.close_session(conn, request[COMPANY], digest_of(request))
    if request[CALLER].is_staff:
        # A frame may be on its way to a screen that this session had opened.
        await gate.drain_frames(request.app[POOL], request[COMPANY])
    answer = web.Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})
    _set_cookie(answer, "", lasts_s=0)
    return answer


async def _session_view(
    request: web.Request,
    conn: Connection,
    member_id: UUID,
    *,
    expires_at: datetime,
    token: str | None,
    stepped_up_until: datetime | None = None,
) -> SessionView:
    company_id = request[COMPANY]
    company = await accounts.company(conn, company_id)
    profile = await accounts.profile(conn, request.app[VAULT], company_id, member_id)
    return SessionView(
        token=token,
        expires_at=expires_at,
        stepped_up_until=stepped_up_until,
        member=SessionMember.model_validate(profile),
        company=SessionCompany.model_validate(company),
    )


def _own_answer(body: str) -> web.Response:
    return web.Response(
        text=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _set_cookie(answer: web.Response, token: str, *, lasts_s: int) -> None:
    # The prefix makes browsers insist on Secure, Path=/ and no Domain.
    answer.set_cookie(
        COOKIE, token, max_age=lasts_s, path="/", secure=True, httponly=True, samesite="Strict"
    )


ENDPOINTS: Final = (open_session, read_session, step_up, close_session)
