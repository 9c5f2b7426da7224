"""Stating a birth year later, and ending a guardian's consent: both may stop the recording."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.attestations import minors
from server.consent.model import ConsentItem
from server.credentials.access import STAFF, VAULT, me
from server.credentials.viewers import viewer
from server.gate import service as gate
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.guardians import service as guardians
from server.guardians.model import (
    BIRTH_YEAR_MAX,
    BIRTH_YEAR_MIN,
    BirthYearImplausible,
    GuardianConsentMissing,
)
from server.journal.model import StopUnconfirmed
from server.kit.api import Endpoint, endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Wire

Year = Annotated[int, Field(ge=BIRTH_YEAR_MIN, le=BIRTH_YEAR_MAX)]


class NewBirthYear(Wire):
    """The year alone. A date of birth and an identity number are not taken."""

    birth_year: Year


class BirthYearStated(Wire):
    stated_at: Instant
    invalidated: list[ConsentItem] = Field(
        description="Consents that are void, because the driver may be a minor by this year."
    )


class GuardianConsentRevoked(Wire):
    revoked_at: Instant
    invalidated: list[ConsentItem] = Field(description="Consents that are void by it.")


@endpoint(
    "PUT",
    "/v1/drivers/{driver_id}/birth-year",
    access=STAFF,
    status=HTTPStatus.OK,
    raises=(GateMissing, BirthYearImplausible, StopUnconfirmed),
)
async def state_birth_year(
    request: web.Request, *, driver_id: UUID, body: NewBirthYear
) -> BirthYearStated:
    """State in which year a driver was born; they are told, and may dispute it.

    Nobody verifies it. If the driver may be a minor by it and no guardian's consent is recorded,
    their consents to location are void and recording has stopped.
    """
    at, company_id = now(request), request[COMPANY]
    async with transaction(request, readonly=True) as conn:
        await gate.read(conn, company_id, driver_id)
    new = await guardians.seal_birth_year(
        request.app[VAULT], company_id, driver_id, body.birth_year, now=at
    )
    async with stopping(request, driver_id, at) as conn:
        void = await minors.state_birth_year(
            conn,
            company_id,
            driver_id,
            new,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return BirthYearStated(stated_at=at, invalidated=list(void))


@endpoint(
    "DELETE",
    "/v1/drivers/{driver_id}/guardian-consent",
    access=STAFF,
    status=HTTPStatus.OK,
    raises=(GateMissing, GuardianConsentMissing, StopUnconfirmed),
)
async def revoke_guardian_consent(
    request: web.Request, *, driver_id: UUID
) -> GuardianConsentRevoked:
    """End a guardian's consent: once this is answered, nothing that rested on it goes on.

    The driver's consents to location are void. They can give them anew once a guardian's consent is
    recorded again.
    """
    at, company_id = now(request), request[COMPANY]
    async with stopping(request, driver_id, at) as conn:
        void = await minors.revoke_guardian_consent(
            conn, company_id, driver_id, by=viewer(request), by_member=me(request), now=at
        )
    return GuardianConsentRevoked(revoked_at=at, invalidated=list(void))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (state_birth_year, revoke_guardian_consent)
