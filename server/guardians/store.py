"""Birth years and guardians' consents in PostgreSQL. Each function is one statement."""

from datetime import datetime
from uuid import UUID

from server.guardians.model import (
    Agreed,
    BirthYear,
    GuardianConsent,
    GuardianConsentThere,
    Relation,
    SealedAgreement,
)
from server.kit.db import Connection, UniqueViolation


async def state_birth_year(conn: Connection, company_id: UUID, stated: BirthYear) -> None:
    """Write the year in place of what was stated before; a dispute was of that."""
    await conn.execute(
        """
        INSERT INTO birth_year (company_id, driver_id, statement_id, year_sealed, stated_by,
                                stated_at, disputed_at)
        VALUES ($1, $2, $3, $4, $5, $6, NULL)
            ON CONFLICT (company_id, driver_id) DO UPDATE
           SET statement_id = EXCLUDED.statement_id, year_sealed = EXCLUDED.year_sealed,
               stated_by = EXCLUDED.stated_by, stated_at = EXCLUDED.stated_at,
               disputed_at = NULL
        """,
        company_id,
        stated.driver_id,
        stated.statement_id,
        stated.year_sealed,
        stated.stated_by,
        stated.stated_at,
    )


async def birth_year(conn: Connection, company_id: UUID, driver_id: UUID) -> BirthYear | None:
    row = await conn.fetchrow(
        """
        SELECT driver_id, statement_id, year_sealed, stated_by, stated_at, disputed_at
          FROM birth_year
         WHERE company_id = $1 AND driver_id = $2
        """,
        company_id,
        driver_id,
    )
    return None if row is None else BirthYear(**row)


async def dispute_birth_year(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> bool:
    """Write the dispute; False if the year is disputed already, or there is none."""
    written = await conn.fetchval(
        """
        UPDATE birth_year SET disputed_at = $3
         WHERE company_id = $1 AND driver_id = $2 AND disputed_at IS NULL
        RETURNING true
        """,
        company_id,
        driver_id,
        now,
    )
    return bool(written)


async def insert_guardian_consent(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    new: SealedAgreement,
    *,
    by_member: UUID,
    now: datetime,
) -> None:
    """Record a guardian's agreement.

    Raises
    ------
    GuardianConsentThere
        Another one is in force.
    """
    try:
        await conn.execute(
            """
            INSERT INTO guardian_consent (company_id, guardian_id, driver_id, name_sealed, relation,
                                          how, told_at, document_sealed, recorded_by, recorded_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            """,
            company_id,
            new.guardian_id,
            driver_id,
            new.name_sealed,
            new.agreement.relation.value,
            new.agreement.how.value,
            new.agreement.told_at,
            new.document_sealed,
            by_member,
            now,
        )
    except UniqueViolation as error:
        raise GuardianConsentThere from error


async def guardian_consent(
    conn: Connection, company_id: UUID, driver_id: UUID
) -> GuardianConsent | None:
    """Return the one in force.

    The row of a driver ends only when they are moved; the company changed for all of them at once.
    """
    row = await conn.fetchrow(
        """
        SELECT guardian_id, driver_id, name_sealed, relation, how, told_at, document_sealed,
               recorded_by, recorded_at,
               (SELECT max(applied_at) FROM controller_change WHERE company_id = $1)
                   AS controller_since
          FROM guardian_consent
         WHERE company_id = $1 AND driver_id = $2 AND revoked_at IS NULL
        """,
        company_id,
        driver_id,
    )
    if row is None:
        return None
    return GuardianConsent(
        **{**row, "relation": Relation(row["relation"]), "how": Agreed(row["how"])}
    )


async def revoke_guardian_consent(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by_member: UUID | None, now: datetime
) -> UUID | None:
    """End the one in force, by a member or by itself; return its id, None if there is none."""
    revoked: UUID | None = await conn.fetchval(
        """
        UPDATE guardian_consent SET revoked_at = $3, revoked_by = $4
         WHERE company_id = $1 AND driver_id = $2 AND revoked_at IS NULL
        RETURNING guardian_id
        """,
        company_id,
        driver_id,
        now,
        by_member,
    )
    return revoked


async def delete_birth_year(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM birth_year WHERE company_id = $1 AND driver_id = $2 RETURNING 1",
        company_id,
        driver_id,
    )
    return len(rows)


async def delete_guardian_consents(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM guardian_consent WHERE company_id = $1 AND driver_id = $2 RETURNING 1",
        company_id,
        driver_id,
    )
    return len(rows)
