"""Who the controller is, and changes of it: announced by main users, agreed to by drivers."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts.model import CompanyMissing
from server.controllers import service
from server.controllers.model import (
    ChangeStanding,
    ChangeState,
    ControllerChange,
    ControllerChangeMissing,
    ControllerChangeNeeded,
    ControllerChangeOpen,
    ControllerChangeOver,
    ControllerNoticeTooShort,
    ControllerUnchanged,
    NewController,
)
from server.credentials.access import ANY_MEMBER, DRIVER, MAIN_USER, me
from server.credentials.viewers import viewer
from server.gate.model import GateMissing
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Page, PageQuery, Text, Wire
from server.notice_kinds.kinds import ORGANISATION_CHARS_MAX
from server.policies.wire import ControllerBody, ControllerView


class NewControllerChange(Wire):
    """Which company becomes the controller, and from when."""

    name: Annotated[str, Text(ORGANISATION_CHARS_MAX)]
    bin: Annotated[str, Field(pattern="^[0-9]{12}$", max_length=12)]
    """Business identification number: 12 digits."""
    privacy_contact: Annotated[str, Text(ORGANISATION_CHARS_MAX)]
    """Whom to ask there about personal data: an address or a phone of the company."""
    effective_at: Instant
    """30 days from now at the earliest."""


class ControllerChangeView(Wire):
    change_id: UUID
    state: ChangeState
    name: str
    bin: str
    privacy_contact: str
    noticed_at: Instant
    effective_at: Instant
    cancelled_at: Instant | None
    applied_at: Instant | None = Field(description="When the company's particulars changed.")
    agreed_at: Instant | None = Field(description="When the caller, a driver, agreed.")


class AgreementView(Wire):
    change_id: UUID
    agreed_at: Instant


@endpoint(
    "PUT",
    "/v1/policies/controller",
    access=MAIN_USER,
    raises=(CompanyMissing, ControllerChangeNeeded),
)
async def state_controller(request: web.Request, *, body: ControllerBody) -> ControllerView:
    """State the company's business number and privacy contact, which its texts show.

    Once a driver consented to it, the number stays: another one is another company.
    """
    at = now(request)
    async with transaction(request) as conn:
        stated = await service.state(
            conn,
            request[COMPANY],
            business_number=body.bin,
            privacy_contact=body.privacy_contact,
            now=at,
        )
    return ControllerView.model_validate(stated)


@endpoint(
    "POST",
    "/v1/controller-changes",
    access=MAIN_USER,
    status=HTTPStatus.CREATED,
    raises=(ControllerNoticeTooShort, ControllerUnchanged, ControllerChangeOpen),
)
async def announce_controller_change(
    request: web.Request, *, body: NewControllerChange
) -> ControllerChangeView:
    """Announce that another company becomes the controller, and tell every member.

    30 days ahead at least. On that day the consents of drivers who agreed go on under the new
    company; those of everybody else end.
    """
    at = now(request)
    to = NewController(name=body.name, bin=body.bin, privacy_contact=body.privacy_contact)
    async with transaction(request) as conn:
        change = await service.announce(
            conn,
            request[COMPANY],
            to,
            effective_at=body.effective_at,
            by=viewer(request),
            now=at,
        )
    return _view(ChangeStanding(change=change, agreed_at=None))


@endpoint("GET", "/v1/controller-changes", access=ANY_MEMBER, raises=(CursorInvalid,))
async def list_controller_changes(
    request: web.Request, *, query: PageQuery
) -> Page[ControllerChangeView]:
    """List the changes of the controller, the oldest first, and what the caller agreed to."""
    async with transaction(request, readonly=True) as conn:
        page = await service.standings(
            conn, request[COMPANY], me(request), cursor=query.cursor, limit=query.limit
        )
    return Page(items=[_view(one) for one in page.items], next_cursor=page.next_cursor)


@endpoint(
    "DELETE",
    "/v1/controller-changes/{change_id}",
    access=MAIN_USER,
    status=HTTPStatus.NO_CONTENT,
    raises=(ControllerChangeMissing, ControllerChangeOver),
)
async def cancel_controller_change(request: web.Request, *, change_id: UUID) -> None:
    """Call a change off before it is in effect; whoever was told of it is told of this too."""
    at = now(request)
    async with transaction(request) as conn:
        await service.cancel(conn, request[COMPANY], change_id, by=viewer(request), now=at)


@endpoint(
    "POST",
    "/v1/me/controller-changes/{change_id}/agreement",
    access=DRIVER,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, ControllerChangeMissing, ControllerChangeOver),
)
async def agree_to_controller_change(request: web.Request, *, change_id: UUID) -> AgreementView:
    """Agree that the caller's consents go on under the new company. Only the driver can.

    It gives no consent: what is not given on that day, or was withdrawn, stays so.
    """
    at = now(request)
    async with transaction(request) as conn:
        made = await service.agree(conn, request[COMPANY], me(request), change_id, now=at)
    return AgreementView.model_validate(made)


def _view(standing: ChangeStanding) -> ControllerChangeView:
    change: ControllerChange = standing.change
    return ControllerChangeView(
        change_id=change.change_id,
        state=change.state,
        name=change.to.name,
        bin=change.to.bin,
        privacy_contact=change.to.privacy_contact,
        noticed_at=change.noticed_at,
        effective_at=change.effective_at,
        cancelled_at=change.cancelled_at,
        applied_at=change.applied_at,
        agreed_at=standing.agreed_at,
    )


ENDPOINTS: Final = (
    state_controller,
    announce_controller_change,
    list_controller_changes,
    cancel_controller_change,
    agree_to_controller_change,
)
