"""Inviting staff, and drivers once more; the first invitation of a driver may attest something."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from server.accounts.logins import EmailUnreadable, PhoneUnreadable
from server.accounts.model import LoginTaken, NewMember
from server.accounts.wire import AddedMember, InvitationView, MemberView, NewStaff
from server.closure.model import CompanyClosing
from server.credentials.access import MAIN_USER, STAFF, VAULT, after_step_up, me
from server.credentials.model import MemberStateRefused, StepUpNeeded
from server.credentials.viewers import viewer
from server.gate.model import GateMissing
from server.invitations import service
from server.kit.api import Endpoint, endpoint
from server.kit.web import COMPANY, now, transaction


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/invitation",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, MemberStateRefused),
)
async def invite_driver_again(request: web.Request, *, driver_id: UUID) -> InvitationView:
    """Give out a new code to a driver who has not accepted; the old one stops working.

    A driver who was off-boarded reads again what is kept of them, for 30 days from accepting.
    """
    async with transaction(request) as conn:
        invitation = await service.invite_again(
            conn, request[COMPANY], driver_id, by=viewer(request), now=now(request)
        )
    return InvitationView.model_validate(invitation)


@endpoint(
    "POST",
    "/v1/members",
    access=after_step_up(MAIN_USER),
    status=HTTPStatus.CREATED,
    raises=(PhoneUnreadable, EmailUnreadable, LoginTaken, CompanyClosing, StepUpNeeded),
)
async def add_member(request: web.Request, *, body: NewStaff) -> AddedMember:
    """Invite a dispatcher or another main user."""
    new = NewMember(
        name=body.name, role=body.role, locale=body.locale, phone=body.phone, email=body.email
    )
    async with transaction(request) as conn:
        profile, invitation = await service.invite(
            conn,
            request.app[VAULT],
            request[COMPANY],
            new,
            by_member=me(request),
            now=now(request),
        )
    return AddedMember(
        member=MemberView.model_validate(profile),
        invitation=InvitationView.model_validate(invitation),
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (invite_driver_again, add_member)
