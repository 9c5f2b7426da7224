"""What is known of a driver's age, and recording a minor's guardian."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import DRIVER, STAFF, VAULT, me
from server.credentials.viewers import viewer
from server.gate.model import GateMissing
from server.guardians import service
from server.guardians.model import (
    AgeStanding,
    AgeStatedMeanwhile,
    Agreed,
    Guardian,
    GuardianAgreement,
    GuardianConsentInFuture,
    GuardianConsentThere,
    GuardianConsentUnneeded,
    Relation,
    StatedYear,
)
from server.guardians.standing import standing
from server.kit.api import Endpoint, endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, ProfileText, Wire

GUARDIAN_NAME_CHARS_MAX: Final = 120
DOCUMENT_CHARS_MAX: Final = 120


class NewGuardianConsent(Wire):
    """That a parent or guardian agreed, by whoever calls. It gives nothing for the driver."""

    guardian_name: Annotated[str, ProfileText(GUARDIAN_NAME_CHARS_MAX)]
    relation: Relation
    how: Agreed
    told_at: Instant = Field(description="When the guardian was told and agreed.")
    document_reference: Annotated[str, ProfileText(DOCUMENT_CHARS_MAX)] | None = Field(
        None, description="Where the company keeps what was signed; no identity number."
    )


class GuardianConsentView(Wire):
    guardian_id: UUID
    guardian_name: str
    relation: Relation
    how: Agreed
    told_at: Instant
    document_reference: str | None
    recorded_by: str = Field(description="The name; empty where the person was erased.")
    recorded_at: Instant


class BirthYearView(Wire):
    year: int | None
    unverified: Literal[True] = Field(default=True, description="Nobody checks what was stated.")
    source: Literal["staff"] = "staff"
    stated_by: str = Field(description="The name; empty where the person was erased.")
    stated_at: Instant
    disputed_at: Instant | None = Field(description="When the driver said that it is wrong.")


class AgeView(Wire):
    """What is known of the driver's age. A date of birth never is."""

    birth_year: BirthYearView | None
    may_be_minor: bool = Field(
        description="Whether, by the year alone, the driver may be under 18 in this year."
    )
    guardian_consent: GuardianConsentView | None
    guardian_needed: bool = Field(
        description="Whether the driver cannot consent to location before a guardian agreed."
    )


@endpoint("GET", "/v1/me/age", access=DRIVER, raises=(GateMissing,))
async def read_my_age(request: web.Request) -> AgeView:
    """Read which birth year was stated of the caller, by whom, and which guardian agreed."""
    return await _age(request, me(request), now(request))


@endpoint("GET", "/v1/drivers/{driver_id}/age", access=STAFF, raises=(GateMissing,))
async def read_age(request: web.Request, *, driver_id: UUID) -> AgeView:
    """Read a driver's stated birth year, and whether a guardian's consent is needed or there."""
    return await _age(request, driver_id, now(request))


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/guardian-consent",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(
        GateMissing,
        GuardianConsentInFuture,
        GuardianConsentThere,
        GuardianConsentUnneeded,
        AgeStatedMeanwhile,
    ),
)
async def record_guardian_consent(
    request: web.Request, *, driver_id: UUID, body: NewGuardianConsent
) -> AgeView:
    """Record that the guardian of a driver who may be a minor agreed; the driver is told.

    The driver can then consent, or not: it stays their own act.
    """
    at, company_id, vault = now(request), request[COMPANY], request.app[VAULT]
    agreement = GuardianAgreement(
        guardian_name=body.guardian_name,
        relation=body.relation,
        how=body.how,
        told_at=body.told_at,
        document_reference=body.document_reference,
    )
    async with transaction(request, readonly=True) as conn:
        known = await service.age_to_record(conn, vault, company_id, driver_id, now=at)
    new = await service.seal_agreement(vault, company_id, driver_id, agreement, now=at)
    async with transaction(request) as conn:
        await service.record(
            conn,
            company_id,
            driver_id,
            new,
            known,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return await _age(request, driver_id, at)


async def _age(request: web.Request, driver_id: UUID, at: datetime) -> AgeView:
    async with transaction(request, readonly=True) as conn:
        found = await standing(conn, request.app[VAULT], request[COMPANY], driver_id, now=at)
    return age_view(found)


def age_view(found: AgeStanding) -> AgeView:
    """Return it as it is sent, to staff and to the driver alike."""
    year, guardian = found.birth_year, found.guardian_consent
    return AgeView(
        birth_year=None if year is None else _year_view(year),
        may_be_minor=found.may_be_minor,
        guardian_consent=None if guardian is None else _guardian_view(guardian),
        guardian_needed=found.guardian_needed,
    )


def _year_view(year: StatedYear) -> BirthYearView:
    return BirthYearView(
        year=year.year,
        stated_by=year.stated_by,
        stated_at=year.stated_at,
        disputed_at=year.disputed_at,
    )


def _guardian_view(guardian: Guardian) -> GuardianConsentView:
    return GuardianConsentView.model_validate(guardian)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_my_age, read_age, record_guardian_consent)
