"""Correcting one's own data, or a driver's, over HTTP."""

from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field as Bound

from server.accounts.logins import EmailUnreadable, PhoneUnreadable
from server.accounts.model import Locale, LoginTaken
from server.accounts.wire import Me
from server.corrections import contacts, service
from server.corrections.model import (
    CODE_DIGITS,
    Author,
    CodesTooMany,
    ContactCodeRefused,
    ContactUnreachable,
    DataChanged,
    Field,
    Source,
    Wanted,
)
from server.credentials.access import (
    ANY_MEMBER,
    STAFF,
    VAULT,
    me,
    refuse_unless_stepped_up,
)
from server.credentials.model import MemberMissing, MemberState, StepUpNeeded
from server.kit.api import Endpoint, endpoint
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, ProfileText, Text, Wire
from server.notices.web import WAYS_OUT

WRONG: Final = (
    DataChanged,
    StepUpNeeded,
    PhoneUnreadable,
    EmailUnreadable,
    LoginTaken,
    ContactUnreachable,
    CodesTooMany,
)


VERSION_MAX: Final = 2**31 - 1


class Corrected(Wire):
    """What is not named stays."""

    name: Annotated[str, ProfileText(120)] | None = None
    phone: Annotated[str, Text(40)] | None = None
    email: Annotated[str, Text(254)] | None = None
    locale: Locale | None = None
    version: int | None = Bound(
        None,
        ge=0,
        le=VERSION_MAX,
        description="What was looked at. If something else was corrected since, nothing is.",
    )

    def refuse_unproven(self, request: web.Request) -> None:
        """Refuse what somebody logs in with to a session that may be in other hands by now.

        Raises
        ------
        StepUpNeeded
        """
        if self.phone is not None or self.email is not None:
            refuse_unless_stepped_up(request)

    def wanted(self) -> Wanted:
        return Wanted(
            name=self.name,
            phone=self.phone,
            email=self.email,
            locale=self.locale,
            version=self.version,
        )


class PendingView(Wire):
    """A phone or e-mail that counts once the code that was sent there is told."""

    field: Literal[Field.PHONE, Field.EMAIL]
    source: Source
    contact: str
    asked_at: Instant
    expires_at: Instant


class CorrectedMe(Me):
    version: int
    """Grows with each correction; a later one names it."""
    pending: list[PendingView]


class CorrectionView(Wire):
    field: Field
    source: Source
    """`registration`: whoever registered the account entered it."""
    by_name: str | None
    """Of the staff who corrected it; null where it was the person, or who entered it first."""
    before: str | None
    after: str | None
    at: Instant


class CorrectionsView(Wire):
    version: int
    items: list[CorrectionView]
    """What was entered first, then what was corrected, oldest first; at most the latest 500."""
    pending: list[PendingView]


class CorrectedDriver(Wire):
    version: int
    driver_id: UUID
    name: str
    phone_masked: str | None
    state: MemberState
    locale: Locale
    pending: list[Field]
    """What counts only once the driver tells the code that was sent there."""


class ContactCode(Wire):
    code: Annotated[str, Bound(pattern=rf"^[0-9]{{{CODE_DIGITS}}}$")]


@endpoint("PATCH", "/v1/me", access=ANY_MEMBER, raises=WRONG)
async def correct_me(request: web.Request, *, body: Corrected) -> CorrectedMe:
    """Correct what is kept of the caller.

    Name and language change at once. A new phone or e-mail counts when the code that is sent there
    is told; until then the old one does, and what is kept tells of both. To ask for one takes a
    step-up log-in: it is what somebody logs in with.
    """
    body.refuse_unproven(request)
    company_id, member_id = request[COMPANY], me(request)
    vault, at = request.app[VAULT], now(request)
    async with transaction(request) as conn:
        profile = await service.correct(
            conn,
            vault,
            company_id,
            member_id,
            body.wanted(),
            author=Author(source=Source.SELF, member_id=member_id),
            ways_out=request.app[WAYS_OUT],
            now=at,
        )
        waiting = await contacts.pending(conn, vault, company_id, member_id, now=at)
        version = await service.version_of(conn, company_id, member_id)
    return CorrectedMe(
        version=version,
        **Me.model_validate(profile).model_dump(),
        pending=[PendingView.model_validate(one) for one in waiting],
    )


@endpoint(
    "POST",
    "/v1/me/contact-changes/{field}/confirmation",
    access=ANY_MEMBER,
    raises=(ContactCodeRefused, LoginTaken),
)
async def confirm_contact(
    request: web.Request, *, field: Literal[Field.PHONE, Field.EMAIL], body: ContactCode
) -> Me:
    """Tell the code that was sent to the new phone or e-mail: from now on it counts.

    Log-ins go by it at once. The old one is told so. Five tries, fifteen minutes.
    """
    profile = await service.confirm(
        request.app[POOL],
        request.app[VAULT],
        request[COMPANY],
        me(request),
        Field(field),
        body.code,
        now=now(request),
    )
    return Me.model_validate(profile)


@endpoint("GET", "/v1/me/corrections", access=ANY_MEMBER)
async def list_corrections(request: web.Request) -> CorrectionsView:
    """List what was entered about the caller and corrected since: what, from what, by whom."""
    who = (request.app[VAULT], request[COMPANY], me(request))
    async with transaction(request, readonly=True) as conn:
        found = await service.history(conn, *who)
        waiting = await contacts.pending(conn, *who, now=now(request))
        version = await service.version_of(conn, request[COMPANY], me(request))
    return CorrectionsView(
        version=version,
        items=[CorrectionView.model_validate(one) for one in found],
        pending=[PendingView.model_validate(one) for one in waiting],
    )


@endpoint("PATCH", "/v1/drivers/{driver_id}", access=STAFF, raises=(MemberMissing, *WRONG))
async def correct_driver(
    request: web.Request, *, driver_id: UUID, body: Corrected
) -> CorrectedDriver:
    """Correct what is kept of a driver, who is told what was corrected and by whom.

    Once they have accepted the account, a new phone or e-mail counts only when they tell the code
    that is sent there: nobody else moves what somebody logs in with. Phone and e-mail take a
    step-up log-in of the staff.
    """
    body.refuse_unproven(request)
    vault, company_id, at = request.app[VAULT], request[COMPANY], now(request)
    async with transaction(request) as conn:
        profile = await service.correct_driver(
            conn,
            vault,
            company_id,
            driver_id,
            body.wanted(),
            by_member=me(request),
            ways_out=request.app[WAYS_OUT],
            now=at,
        )
        waiting = await contacts.pending(conn, vault, company_id, driver_id, now=at)
        version = await service.version_of(conn, company_id, driver_id)
    return CorrectedDriver(
        version=version,
        driver_id=profile.member_id,
        name=profile.name,
        phone_masked=profile.phone_masked,
        state=profile.state,
        locale=profile.locale,
        pending=[one.field for one in waiting],
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    correct_me,
    confirm_contact,
    list_corrections,
    correct_driver,
)
