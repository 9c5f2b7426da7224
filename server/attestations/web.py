"""Registering a driver, what is attested with it, and the driver's own view and dispute of it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts import service as accounts
from server.accounts.logins import EmailUnreadable, PhoneUnreadable
from server.accounts.model import LoginTaken, NewMember
from server.accounts.wire import AddedDriver, InvitationView, InvitedDriver, NewDriver
from server.attestations import service
from server.attestations.minors_web import ENDPOINTS as OF_MINORS
from server.attestations.minors_web import Year
from server.attestations.model import (
    Attestation,
    AttestationInFuture,
    AttestationMissing,
    Disputed,
    How,
    Told,
)
from server.closure.model import CompanyClosing
from server.consent.model import ConsentItem
from server.credentials.access import DRIVER, STAFF, VAULT, me
from server.credentials.model import Role
from server.credentials.viewers import viewer
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.guardians import service as guardians
from server.guardians.model import BirthYearImplausible, BirthYearMissing
from server.invitations import service as invitations
from server.journal.model import StopUnconfirmed
from server.kit.api import Endpoint, endpoint
from server.kit.db import Connection
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Wire
from server.notices import service as notices
from server.policies.model import Document, EditionMissing
from server.policies.wire import EditionNumber


class EditionTold(Wire):
    document: Document
    edition: EditionNumber


class Attested(Wire):
    """That the driver was told, by whoever calls. It is no consent and opens nothing."""

    told_at: Instant
    how: How
    editions: Annotated[list[EditionTold], Field(min_length=1, max_length=len(Document))]
    birth_year: Year | None = Field(
        None, description="The year alone; nobody verifies it. A date of birth is not taken."
    )


class DriverToInvite(NewDriver):
    attestation: Attested | None = None


class AttestationView(Wire):
    attested_by: str = Field(description="The name; empty where the person was erased.")
    told_at: Instant
    how: How
    editions: list[EditionTold]
    attested_at: Instant
    disputed_at: Instant | None


class DisputeQuery(Wire):
    of: Disputed = Disputed.EVERYTHING


class DisputeView(Wire):
    disputed_at: Instant
    invalidated: list[ConsentItem]
    set_apart: int = Field(description="Positions that the company never sees again.")


@endpoint(
    "POST",
    "/v1/drivers",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(
        PhoneUnreadable,
        EmailUnreadable,
        LoginTaken,
        CompanyClosing,
        AttestationInFuture,
        EditionMissing,
        BirthYearImplausible,
    ),
)
async def add_driver(request: web.Request, *, body: DriverToInvite) -> AddedDriver:
    """Invite a driver. Nothing is collected before they accept and consent themselves.

    The code is for the driver only: the person who invites passes it on. An integration never
    gets one. With an attestation the caller says that the driver was told, and of what; the driver
    sees it and may dispute it. A birth year says whether a guardian has to agree as well.
    """
    new = NewMember(
        name=body.name, role=Role.DRIVER, locale=body.locale, phone=body.phone, email=body.email
    )
    at, company_id = now(request), request[COMPANY]
    async with transaction(request) as conn:
        profile, invitation = await invitations.invite(
            conn, request.app[VAULT], company_id, new, by_member=me(request), now=at
        )
        if body.attestation is not None:
            await _attest(request, conn, profile.member_id, body.attestation, at)
    return AddedDriver(
        driver=InvitedDriver(
            driver_id=profile.member_id,
            name=profile.name,
            phone_masked=profile.phone_masked,
            state=profile.state,
            locale=profile.locale,
            created_at=profile.created_at,
        ),
        invitation=InvitationView.model_validate(invitation),
    )


@endpoint("GET", "/v1/me/attestation", access=DRIVER, raises=(AttestationMissing,))
async def read_attestation(request: web.Request) -> AttestationView:
    """Read what a member of staff attested of the caller: who says so, when, how, and of what."""
    company_id = request[COMPANY]
    async with transaction(request, readonly=True) as conn:
        found = await service.attestation(conn, company_id, me(request))
        names = await accounts.names(conn, request.app[VAULT], company_id, {found.attested_by})
    return _view(found, names)


@endpoint(
    "POST",
    "/v1/me/attestation/dispute",
    access=DRIVER,
    raises=(AttestationMissing, BirthYearMissing, GateMissing, StopUnconfirmed),
)
async def dispute_attestation(request: web.Request, *, query: DisputeQuery) -> DisputeView:
    """Say that it is not true: the caller was not told so, or their birth year is another.

    Every consent of the caller is void at once, and what was collected under them is set apart:
    the company never sees it again. It cannot be taken back. With `of=birth_year` only the year is
    disputed, and nothing is void by it.
    """
    at, company_id = now(request), request[COMPANY]
    async with stopping(request, me(request), at) as conn:
        found = await service.dispute(conn, company_id, me(request), of=query.of, now=at)
    await notices.drain(request.app[POOL], company_id, me(request))
    return DisputeView(
        disputed_at=found.disputed_at,
        invalidated=[ConsentItem(item) for item in found.invalidated],
        set_apart=found.set_apart,
    )


async def _attest(
    request: web.Request, conn: Connection, driver_id: UUID, attested: Attested, at: datetime
) -> None:
    company_id, by, by_member = request[COMPANY], viewer(request), me(request)
    told = _told(attested)
    await service.attest(conn, company_id, driver_id, told, by=by, by_member=by_member, now=at)
    if attested.birth_year is not None:
        year = await guardians.seal_birth_year(
            request.app[VAULT], company_id, driver_id, attested.birth_year, now=at
        )
        await guardians.state_birth_year(
            conn, company_id, driver_id, year, by=by, by_member=by_member, now=at
        )


def _told(attested: Attested) -> Told:
    editions = {one.document: one.edition for one in attested.editions}
    return Told(at=attested.told_at, how=attested.how, editions=tuple(sorted(editions.items())))


def _view(found: Attestation, names: dict[UUID, str]) -> AttestationView:
    return AttestationView(
        attested_by=names.get(found.attested_by, ""),
        told_at=found.told.at,
        how=found.told.how,
        editions=[
            EditionTold(document=document, edition=edition)
            for document, edition in found.told.editions
        ],
        attested_at=found.attested_at,
        disputed_at=found.disputed_at,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    add_driver,
    read_attestation,
    dispute_attestation,
    *OF_MINORS,
)
