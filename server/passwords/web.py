"""Choosing another password: logged in, or with a code that is sent."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts.logins import EmailUnreadable, PhoneUnreadable
from server.credentials.access import (
    ANY_MEMBER,
    MAIN_USER,
    PUBLIC,
    VAULT,
    after_step_up,
    me,
    presented,
)
from server.credentials.model import MemberMissing, NotAuthenticated, StepUpNeeded
from server.credentials.viewers import viewer
from server.gate import service as gate
from server.kit.api import Endpoint, endpoint
from server.kit.client_address import client_address
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Text, Wire
from server.log_in.model import LogInBusy, TooManyAttempts
from server.log_in.passwords import PasswordTooCommon
from server.log_in.web import ATTEMPTS, PASSWORDS
from server.log_in.wire import PASSWORD_CHARS_MIN
from server.notices.web import WAYS_OUT
from server.passwords import proof, service
from server.passwords import resetting as resets
from server.passwords.model import CODE_DIGITS, CODE_LASTS, ResetCodeRefused
from server.passwords.proof import PasswordWrong
from server.passwords.resetting import Ground, Sending, Told

GROUND: web.AppKey[Ground] = web.AppKey("GROUND")
SENDING: web.AppKey[Sending] = web.AppKey("SENDING")


class PasswordChange(Wire):
    password: Annotated[str, Text(128)]
    """The one of now, once more."""
    new_password: Annotated[str, Text(128, PASSWORD_CHARS_MIN)]


class PasswordChanged(Wire):
    sessions_ended: int


@endpoint(
    "POST",
    "/v1/me/password",
    access=ANY_MEMBER,
    raises=(PasswordWrong, PasswordTooCommon, TooManyAttempts, LogInBusy),
)
async def change_password(request: web.Request, *, body: PasswordChange) -> PasswordChanged:
    """Choose another password. Every session of the caller but this one ends; devices stay."""
    app, company_id, member_id = request.app, request[COMPANY], me(request)
    token = presented(request)
    if token is None:  # authorize() has read the same header before
        raise NotAuthenticated
    proven = await proof.prove(
        app[POOL],
        app[PASSWORDS],
        app[ATTEMPTS],
        (company_id, member_id),
        body.password,
        address=client_address(request),
    )
    password_hash = await service.hashed(
        app[POOL], app[VAULT], app[PASSWORDS], company_id, member_id, body.new_password
    )
    async with transaction(request) as conn:
        await proof.refuse_if_changed(conn, company_id, member_id, proven)
        ended = await service.change(
            conn,
            company_id,
            member_id,
            password_hash,
            keep=token.digest,
            by=viewer(request),
            now=now(request),
        )
    # A frame may be on its way to a screen that one of the others had opened.
    await gate.drain_frames(app[POOL], company_id)
    return PasswordChanged(sessions_ended=ended)


async def resetting(app: web.Application) -> AsyncIterator[None]:
    """Hold what sends codes in this process; for ``app.cleanup_ctx``, after logging in."""
    ground = Ground(
        pool=app[POOL], vault=app[VAULT], passwords=app[PASSWORDS], attempts=app[ATTEMPTS]
    )
    app[SENDING] = Sending(ground, app[WAYS_OUT])
    app[GROUND] = ground
    yield
    await app[SENDING].close()


class ResetAsked(Wire):
    login: Annotated[str, Text(254)]


class ResetConfirmed(Wire):
    login: Annotated[str, Text(254)]
    code: Annotated[str, Field(pattern=rf"^[0-9]{{{CODE_DIGITS}}}$")]
    password: Annotated[str, Text(128, PASSWORD_CHARS_MIN)]


class CodeSent(Wire):
    sent: bool
    """False: it would be too soon after another, nothing leads to them, or they have no password
    that a code could stand in for."""


class CodeLasts(Wire):
    """The same for everybody, also where nobody has that login."""

    expires_at: Instant
    """If a code is sent, it is good until then."""


@endpoint(
    "POST",
    "/v1/password-resets",
    access=PUBLIC,
    status=HTTPStatus.ACCEPTED,
    raises=(PhoneUnreadable, EmailUnreadable, TooManyAttempts, LogInBusy),
)
async def ask_password_reset(request: web.Request, *, body: ResetAsked) -> CodeLasts:
    """Have a code sent to the phone or e-mail that one logs in with.

    The answer says nothing of whether anybody has it. One code a minute, at most ten in a day.
    """
    at = now(request)
    await request.app[SENDING].ask(body.login, client_address(request), at)
    return CodeLasts(expires_at=at + CODE_LASTS)


@endpoint(
    "POST",
    "/v1/password-resets/confirm",
    access=PUBLIC,
    status=HTTPStatus.NO_CONTENT,
    raises=(
        PhoneUnreadable,
        EmailUnreadable,
        ResetCodeRefused,
        PasswordTooCommon,
        TooManyAttempts,
        LogInBusy,
    ),
)
async def confirm_password_reset(request: web.Request, *, body: ResetConfirmed) -> None:
    """Choose another password with the code: once, within fifteen minutes, in five tries.

    Every session of the account ends; devices stay. Log in with it, and with the second factor
    where there is one.
    """
    told = Told(
        login=body.login,
        code=body.code,
        password=body.password,
        address=client_address(request),
    )
    company_id = await resets.reset(request.app[GROUND], told, now=now(request))
    await gate.drain_frames(request.app[POOL], company_id)


@endpoint(
    "POST",
    "/v1/members/{member_id}/password-reset",
    access=after_step_up(MAIN_USER),
    status=HTTPStatus.ACCEPTED,
    raises=(MemberMissing, StepUpNeeded),
)
async def send_password_code(request: web.Request, *, member_id: UUID) -> CodeSent:
    """Have a code sent to a member who forgot their password. Nobody but them reads it."""
    async with transaction(request) as conn:
        sent = await resets.send(
            conn,
            request.app[VAULT],
            request[COMPANY],
            member_id,
            ways_out=request.app[WAYS_OUT],
            now=now(request),
        )
    return CodeSent(sent=sent)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    change_password,
    ask_password_reset,
    confirm_password_reset,
    send_password_code,
)
