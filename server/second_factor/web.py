"""The endpoints of the staff's second factor."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from server.accounts import service as accounts
from server.credentials.access import (
    MAIN_USER,
    STAFF,
    VAULT,
    after_step_up,
    me,
    while_enrolling,
)
from server.credentials.model import StepUpNeeded
from server.credentials.viewers import viewer
from server.kit.api import endpoint
from server.kit.web import COMPANY, now, transaction
from server.second_factor import model, service
from server.second_factor.model import (
    CodeWrong,
    OwnSecondFactorFirst,
    SecondFactorConfirmed,
    SecondFactorMissing,
)
from server.second_factor.wire import (
    Confirmation,
    LogInRules,
    NewSecondFactor,
    RecoveryCodes,
    SecondFactorView,
)


@endpoint("GET", "/v1/me/second-factor", access=while_enrolling(STAFF))
async def read_second_factor(request: web.Request) -> SecondFactorView:
    """Read whether the caller has a second factor, and must have one."""
    async with transaction(request, readonly=True) as conn:
        found = await service.status(conn, request[COMPANY], me(request))
    return SecondFactorView.model_validate(found)


@endpoint(
    "POST",
    "/v1/me/second-factor",
    access=while_enrolling(after_step_up(STAFF)),
    status=HTTPStatus.CREATED,
    raises=(SecondFactorConfirmed, StepUpNeeded),
)
async def begin_second_factor(request: web.Request) -> NewSecondFactor:
    """Make a secret for an authenticator app. It counts once a code of it was confirmed.

    Again makes another one, until then.
    """
    async with transaction(request) as conn:
        secret = await service.begin(
            conn, request.app[VAULT], request[COMPANY], me(request), now=now(request)
        )
        company = await accounts.company(conn, request[COMPANY])
    return NewSecondFactor(
        secret=model.written(secret), otpauth_uri=model.otpauth(secret, company.name)
    )


@endpoint(
    "POST",
    "/v1/me/second-factor/confirm",
    access=while_enrolling(after_step_up(STAFF)),
    raises=(SecondFactorMissing, SecondFactorConfirmed, CodeWrong, StepUpNeeded),
)
async def confirm_second_factor(request: web.Request, *, body: Confirmation) -> RecoveryCodes:
    """Show that the app makes the right codes: from now on a log-in needs one.

    The answer holds ten recovery codes, for when the phone is lost.
    """
    async with transaction(request) as conn:
        codes = await service.confirm(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            body.code,
            by=viewer(request),
            now=now(request),
        )
    return RecoveryCodes(recovery_codes=list(codes))


@endpoint(
    "POST",
    "/v1/me/second-factor/recovery-codes",
    access=after_step_up(STAFF),
    raises=(SecondFactorMissing, StepUpNeeded),
)
async def renew_recovery_codes(request: web.Request) -> RecoveryCodes:
    """Make ten new recovery codes; those from before stop working."""
    async with transaction(request) as conn:
        codes = await service.new_recovery_codes(
            conn, request[COMPANY], me(request), now=now(request)
        )
    return RecoveryCodes(recovery_codes=list(codes))


@endpoint(
    "DELETE",
    "/v1/me/second-factor",
    access=after_step_up(STAFF),
    raises=(SecondFactorMissing, StepUpNeeded),
)
async def remove_second_factor(request: web.Request) -> None:
    """Take the caller's own second factor away."""
    async with transaction(request) as conn:
        await service.remove(
            conn, request[COMPANY], me(request), by=viewer(request), now=now(request)
        )


@endpoint(
    "DELETE",
    "/v1/members/{member_id}/second-factor",
    access=after_step_up(MAIN_USER),
    raises=(SecondFactorMissing, StepUpNeeded),
)
async def remove_second_factor_of(request: web.Request, *, member_id: UUID) -> None:
    """Take the second factor of somebody who has lost theirs away; they are told."""
    async with transaction(request) as conn:
        await service.remove(
            conn, request[COMPANY], member_id, by=viewer(request), now=now(request)
        )


@endpoint("GET", "/v1/log-in-rules", access=STAFF)
async def read_log_in_rules(request: web.Request) -> LogInRules:
    """Read what the company asks of its staff at a log-in."""
    async with transaction(request, readonly=True) as conn:
        required = await service.is_required(conn, request[COMPANY])
    return LogInRules(staff_second_factor=required)


@endpoint(
    "PUT",
    "/v1/log-in-rules",
    access=after_step_up(MAIN_USER),
    raises=(OwnSecondFactorFirst, StepUpNeeded),
)
async def set_log_in_rules(request: web.Request, *, body: LogInRules) -> LogInRules:
    """Say whether dispatchers and main users must have a second factor, from now on.

    Whoever has none can do nothing but set one up, also in sessions that are open.
    """
    async with transaction(request) as conn:
        await service.require(
            conn,
            request[COMPANY],
            me(request),
            required=body.staff_second_factor,
            by=viewer(request),
            now=now(request),
        )
    return body


ENDPOINTS: Final = (
    read_second_factor,
    begin_second_factor,
    confirm_second_factor,
    renew_recovery_codes,
    remove_second_factor,
    remove_second_factor_of,
    read_log_in_rules,
    set_log_in_rules,
)
