"""What a person does to their own account, and the staff to a driver's who lost a phone or left."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web

from server.accounts.wire import InvitationView
from server.closure.model import CompanyClosing
from server.consent import service as consent
from server.credentials.access import ANY_MEMBER, DRIVER, STAFF, me
from server.credentials.model import MemberState, MemberStateRefused
from server.credentials.viewers import viewer
from server.erasure import service as erasure
from server.erasure.model import ErasureUnderWay
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.journal.model import StopUnconfirmed
from server.kit.api import Endpoint, endpoint
from server.kit.client_address import client_address
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Text, Wire
from server.life import service
from server.life.model import Account
from server.log_in.model import LogInBusy, TooManyAttempts
from server.log_in.web import ATTEMPTS, PASSWORDS
from server.passwords import proof
from server.passwords.proof import PasswordWrong
from server.standing.model import BlockNotYours, BlockReason, By


class AccountView(Wire):
    """How an account stands. The times of what never happened are null."""

    member_id: UUID
    state: MemberState
    reason_code: BlockReason | None
    """Why it is blocked or off-boarded."""
    acted_by_role: By | None
    since: Instant | None
    order_reference: str | None
    """The number of the order of an authority, where it was one."""
    reads_until: Instant | None
    """Until when who was off-boarded can log in, to read, to export and to ask for erasure."""
    joined_at: Instant | None
    used_at: Instant | None
    warned_at: Instant | None
    """When they were told last that it will be switched off unless it is used."""


class OwnState(Wire):
    driver_id: UUID
    state: MemberState


class Offboarded(Wire):
    driver_id: UUID
    state: MemberState
    reads_until: Instant


class Proof(Wire):
    """The caller's password once more: whoever holds their phone is not them yet."""

    password: Annotated[str, Text(128)]


@endpoint("GET", "/v1/me/account", access=ANY_MEMBER)
async def read_account(request: web.Request) -> AccountView:
    """Return how the caller's account stands: since when, by which role and why it is blocked."""
    async with transaction(request) as conn:
        found = await service.account(conn, request[COMPANY], me(request))
    return _view(found)


@endpoint(
    "POST",
    "/v1/me/disable",
    access=DRIVER,
    raises=(GateMissing, MemberStateRefused, StopUnconfirmed),
)
async def disable_own_account(request: web.Request) -> OwnState:
    """Block the caller's own account: recording stops at once, and everything else of theirs stays.

    They can still log in, read, withdraw, ask for erasure, and enable it again.
    """
    at, driver_id = now(request), me(request)
    async with stopping(request, driver_id, at) as conn:
        wish = BlockReason.OWN_WISH
        await consent.block(conn, request[COMPANY], driver_id, wish, by=viewer(request), now=at)
    return OwnState(driver_id=driver_id, state=MemberState.BLOCKED)


@endpoint(
    "POST",
    "/v1/me/enable",
    access=DRIVER,
    raises=(GateMissing, MemberStateRefused, ErasureUnderWay, BlockNotYours),
)
async def enable_own_account(request: web.Request) -> OwnState:
    """Lift the caller's own block, or that of an account nobody used. No shift is on by it."""
    driver_id = me(request)
    async with transaction(request) as conn:
        await erasure.unblock(
            conn, request[COMPANY], driver_id, by=viewer(request), now=now(request)
        )
    return OwnState(driver_id=driver_id, state=MemberState.ACTIVE)


@endpoint(
    "POST",
    "/v1/me/lost-phone",
    access=DRIVER,
    status=HTTPStatus.CREATED,
    raises=(
        GateMissing,
        MemberStateRefused,
        PasswordWrong,
        TooManyAttempts,
        LogInBusy,
        StopUnconfirmed,
    ),
)
async def report_own_lost_phone(request: web.Request, *, body: Proof) -> InvitationView:
    """Log the caller out everywhere and end their devices; the code is for the new phone.

    This session ends as well. Accept the code, log in, add the phone and acknowledge its notice.
    """
    at, driver_id = now(request), me(request)
    await proof.prove(
        request.app[POOL],
        request.app[PASSWORDS],
        request.app[ATTEMPTS],
        (request[COMPANY], driver_id),
        body.password,
        address=client_address(request),
    )
    async with stopping(request, driver_id, at) as conn:
        invitation = await service.lose_phone(
            conn, request[COMPANY], driver_id, by=viewer(request), now=at
        )
    return InvitationView.model_validate(invitation)


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/lost-phone",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, MemberStateRefused, StopUnconfirmed),
)
async def report_lost_phone(request: web.Request, *, driver_id: UUID) -> InvitationView:
    """End every log-in and device of a driver; the code is for their new phone.

    Pass it on to the driver themself, not to the phone that is lost.
    """
    at = now(request)
    async with stopping(request, driver_id, at) as conn:
        invitation = await service.lose_phone(
            conn, request[COMPANY], driver_id, by=viewer(request), now=at
        )
    return InvitationView.model_validate(invitation)


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/offboard",
    access=STAFF,
    raises=(GateMissing, MemberStateRefused, StopUnconfirmed),
)
async def offboard_driver(request: web.Request, *, driver_id: UUID) -> Offboarded:
    """Part with a driver who left: recording, log-ins, devices, links and consents end at once.

    What was collected stays to the end of its retention. The driver logs in anew for 30 days, to
    read and export it, and may ask for its erasure.
    """
    at = now(request)
    async with stopping(request, driver_id, at) as conn:
        until = await service.off_board(
            conn, request[COMPANY], driver_id, by=viewer(request), now=at
        )
    return Offboarded(driver_id=driver_id, state=MemberState.OFFBOARDED, reads_until=until)


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/return",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, MemberStateRefused, ErasureUnderWay, CompanyClosing),
)
async def take_driver_back(request: web.Request, *, driver_id: UUID) -> InvitationView:
    """Invite a driver who had left. They accept anew, and are asked anew for every consent."""
    async with transaction(request) as conn:
        invitation = await service.take_back(
            conn, request[COMPANY], driver_id, by=viewer(request), now=now(request)
        )
    return InvitationView.model_validate(invitation)


def _view(found: Account) -> AccountView:
    known = found.standing
    return AccountView(
        member_id=found.member_id,
        state=found.state,
        reason_code=known.reason,
        acted_by_role=known.acted_by,
        since=known.since,
        order_reference=known.order_reference,
        reads_until=known.reads_until,
        joined_at=known.joined_at,
        used_at=known.used_at,
        warned_at=known.warned_at,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    read_account,
    disable_own_account,
    enable_own_account,
    report_own_lost_phone,
    report_lost_phone,
    offboard_driver,
    take_driver_back,
)
