"""The register of incidents in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from server.credentials.model import Role
from server.disclosures.model import Category
from server.incidents.model import (
    Advice,
    Assessment,
    Cause,
    Consequence,
    Incident,
    Running,
    Scope,
    Source,
    State,
)
from server.kit.db import Connection, Record


async def insert(conn: Connection, company_id: UUID, new: Incident) -> None:
    await conn.execute(
        """
        INSERT INTO incident (company_id, incident_id, state, member_id, reported_role,
                              noticed_at, recorded_at, authority_due_at, members_due_at,
                              what_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        company_id,
        new.incident_id,
        new.state.value,
        new.reported_by,
        new.reported_role.value,
        new.noticed_at,
        new.recorded_at,
        new.authority.due_at,
        new.members.due_at,
        new.what_sealed,
    )


async def get(conn: Connection, company_id: UUID, incident_id: UUID) -> Incident | None:
    row = await conn.fetchrow(
        """
        SELECT incident_id, state, member_id, reported_role, noticed_at, recorded_at,
               authority_due_at, authority_reminded_at, authority_escalated_at, members_due_at,
               members_reminded_at, members_escalated_at, notified_at, ended_at, what_sealed,
               reference_sealed, outcome_sealed
          FROM incident
         WHERE company_id = $1 AND incident_id = $2
        """,
        company_id,
        incident_id,
    )
    return None if row is None else _incident(row)


async def lock(conn: Connection, company_id: UUID, incident_id: UUID) -> Incident | None:
    row = await conn.fetchrow(
        """
        SELECT incident_id, state, member_id, reported_role, noticed_at, recorded_at,
               authority_due_at, authority_reminded_at, authority_escalated_at, members_due_at,
               members_reminded_at, members_escalated_at, notified_at, ended_at, what_sealed,
               reference_sealed, outcome_sealed
          FROM incident
         WHERE company_id = $1 AND incident_id = $2
           FOR UPDATE
        """,
        company_id,
        incident_id,
    )
    return None if row is None else _incident(row)


async def page(
    conn: Connection, company_id: UUID, *, before: UUID | None, limit: int
) -> list[Incident]:
    """Return the register, the newest first."""
    rows = await conn.fetch(
        """
        SELECT incident_id, state, member_id, reported_role, noticed_at, recorded_at,
               authority_due_at, authority_reminded_at, authority_escalated_at, members_due_at,
               members_reminded_at, members_escalated_at, notified_at, ended_at, what_sealed,
               reference_sealed, outcome_sealed
          FROM incident
         WHERE company_id = $1 AND ($2::uuid IS NULL OR incident_id < $2)
         ORDER BY incident_id DESC
         LIMIT $3
        """,
        company_id,
        before,
        limit,
    )
    return [_incident(row) for row in rows]


async def lock_running(conn: Connection, company_id: UUID, *, limit: int) -> list[Incident]:
    """Return incidents a clock of which runs; nobody else holds them."""
    rows = await conn.fetch(
        """
        SELECT incident_id, state, member_id, reported_role, noticed_at, recorded_at,
               authority_due_at, authority_reminded_at, authority_escalated_at, members_due_at,
               members_reminded_at, members_escalated_at, notified_at, ended_at, what_sealed,
               reference_sealed, outcome_sealed
          FROM incident
         WHERE company_id = $1 AND state IN ('open', 'assessed')
           AND (notified_at IS NULL OR state = 'open')
         ORDER BY incident_id
         LIMIT $2
           FOR UPDATE SKIP LOCKED
        """,
        company_id,
        limit,
    )
    return [_incident(row) for row in rows]


async def update(conn: Connection, company_id: UUID, changed: Incident) -> None:
    """Write what may change of an incident."""
    await conn.execute(
        """
        UPDATE incident
           SET state = $3, authority_reminded_at = $4, authority_escalated_at = $5,
               members_reminded_at = $6, members_escalated_at = $7, notified_at = $8,
               ended_at = $9, reference_sealed = $10, outcome_sealed = $11
         WHERE company_id = $1 AND incident_id = $2
        """,
        company_id,
        changed.incident_id,
        changed.state.value,
        changed.authority.reminded_at,
        changed.authority.escalated_at,
        changed.members.reminded_at,
        changed.members.escalated_at,
        changed.notified_at,
        changed.ended_at,
        changed.reference_sealed,
        changed.outcome_sealed,
    )


async def insert_assessment(
    conn: Connection, company_id: UUID, incident_id: UUID, new: Assessment
) -> None:
    scope = new.scope
    await conn.execute(
        """
        INSERT INTO incident_assessment (company_id, incident_id, round, cause, source,
                                         member_id, api_token_id, since, until, categories,
                                         consequences, advice, assessed_at, assessed_by, found,
                                         added, erased, list_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        """,
        company_id,
        incident_id,
        new.round,
        scope.cause.value,
        scope.source.value,
        scope.member_id,
        scope.api_token_id,
        scope.since,
        scope.until,
        [one.value for one in scope.categories],
        [one.value for one in scope.consequences],
        [one.value for one in scope.advice],
        new.assessed_at,
        new.assessed_by,
        new.found,
        new.added,
        new.erased,
        new.list_hash,
    )


async def assessments(conn: Connection, company_id: UUID, incident_id: UUID) -> list[Assessment]:
    """Return how often it was computed who is affected, the first first."""
    rows = await conn.fetch(
        """
        SELECT round, cause, source, member_id, api_token_id, since, until, categories,
               consequences, advice, assessed_at, assessed_by, found, added, erased, list_hash
          FROM incident_assessment
         WHERE company_id = $1 AND incident_id = $2
         ORDER BY round
        """,
        company_id,
        incident_id,
    )
    return [_assessment(row) for row in rows]


async def listed(conn: Connection, company_id: UUID, incident_id: UUID) -> set[UUID]:
    """Return the pseudonyms of everybody in the list."""
    rows = await conn.fetch(
        "SELECT pseudonym FROM incident_member WHERE company_id = $1 AND incident_id = $2",
        company_id,
        incident_id,
    )
    return {row["pseudonym"] for row in rows}


async def add_members(
    conn: Connection,
    company_id: UUID,
    incident_id: UUID,
    members: Mapping[UUID, UUID],
    *,
    in_round: int,
) -> None:
    """Add members, by their pseudonyms, to the list."""
    await conn.execute(
        """
        INSERT INTO incident_member (company_id, incident_id, pseudonym, member_id, round)
        SELECT $1, $2, pseudonym, member_id, $5
          FROM unnest($3::uuid[], $4::uuid[]) AS new (pseudonym, member_id)
        ON CONFLICT (company_id, incident_id, pseudonym) DO NOTHING
        """,
        company_id,
        incident_id,
        list(members.keys()),
        list(members.values()),
        in_round,
    )


async def lock_untold(
    conn: Connection, company_id: UUID, *, limit: int
) -> list[tuple[UUID, UUID, UUID, int]]:
    """Return who is not told yet: incident, pseudonym, member, round; nobody else holds them."""
    rows = await conn.fetch(
        """
        SELECT incident_id, pseudonym, member_id, round
          FROM incident_member
         WHERE company_id = $1 AND told_at IS NULL AND member_id IS NOT NULL
         ORDER BY incident_id, pseudonym
         LIMIT $2
           FOR UPDATE SKIP LOCKED
        """,
        company_id,
        limit,
    )
    return [tuple(row) for row in rows]


async def set_told(
    conn: Connection,
    company_id: UUID,
    incident_id: UUID,
    pseudonyms: Collection[UUID],
    now: datetime,
) -> None:
    await conn.execute(
        """
        UPDATE incident_member SET told_at = $4
         WHERE company_id = $1 AND incident_id = $2 AND pseudonym = ANY($3::uuid[])
        """,
        company_id,
        incident_id,
        list(pseudonyms),
        now,
    )


async def forget_member(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Let no list name the member any more; return in how many they were."""
    rows = await conn.fetch(
        """
        UPDATE incident_member SET member_id = NULL
         WHERE company_id = $1 AND member_id = $2
        RETURNING true
        """,
        company_id,
        member_id,
    )
    return len(rows)


async def forget_reporter(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    await conn.execute(
        "UPDATE incident SET member_id = NULL WHERE company_id = $1 AND member_id = $2",
        company_id,
        member_id,
    )


async def forget_source(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    """Let nothing tell any more whose account it was, or who assessed it."""
    await conn.execute(
        """
        UPDATE incident_assessment
           SET member_id = nullif(member_id, $2),
               assessed_by = nullif(assessed_by, $2)
         WHERE company_id = $1 AND (member_id = $2 OR assessed_by = $2)
        """,
        company_id,
        member_id,
    )


async def count_before(
    conn: Connection, company_id: UUID, before: datetime
) -> tuple[int, datetime | None]:
    """Return how many were over and recorded before that time, and when the first was."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS incidents, min(recorded_at) AS oldest FROM incident
         WHERE company_id = $1 AND recorded_at < $2 AND state IN ('closed', 'dismissed')
        """,
        company_id,
        before,
    )
    return (0, None) if row is None else (row["incidents"], row["oldest"])


async def delete_before(
    conn: Connection, company_id: UUID, /, *, before: datetime, limit: int
) -> int:
    """Delete what is over and was recorded before that time; return how many incidents."""
    count: int = await conn.fetchval(
        """
        WITH old AS (
            SELECT incident_id FROM incident
             WHERE company_id = $1 AND recorded_at < $2 AND state IN ('closed', 'dismissed')
             ORDER BY incident_id LIMIT $3),
        m AS (
            DELETE FROM incident_member
             WHERE company_id = $1 AND incident_id IN (SELECT incident_id FROM old)),
        a AS (
            DELETE FROM incident_assessment
             WHERE company_id = $1 AND incident_id IN (SELECT incident_id FROM old)),
        i AS (
            DELETE FROM incident
             WHERE company_id = $1 AND incident_id IN (SELECT incident_id FROM old)
            RETURNING 1)
        SELECT count(*) FROM i
        """,
        company_id,
        before,
        limit,
    )
    return count


def _incident(row: Record) -> Incident:
    return Incident(
        incident_id=row["incident_id"],
        state=State(row["state"]),
        reported_by=row["member_id"],
        reported_role=Role(row["reported_role"]),
        noticed_at=row["noticed_at"],
        recorded_at=row["recorded_at"],
        authority=Running(
            due_at=row["authority_due_at"],
            reminded_at=row["authority_reminded_at"],
            escalated_at=row["authority_escalated_at"],
        ),
        members=Running(
            due_at=row["members_due_at"],
            reminded_at=row["members_reminded_at"],
            escalated_at=row["members_escalated_at"],
        ),
        notified_at=row["notified_at"],
        ended_at=row["ended_at"],
        what_sealed=row["what_sealed"],
        reference_sealed=row["reference_sealed"],
        outcome_sealed=row["outcome_sealed"],
    )


def _assessment(row: Record) -> Assessment:
    scope = Scope(
        cause=Cause(row["cause"]),
        source=Source(row["source"]),
        member_id=row["member_id"],
        api_token_id=row["api_token_id"],
        since=row["since"],
        until=row["until"],
        categories=tuple(Category(one) for one in row["categories"]),
        consequences=tuple(Consequence(one) for one in row["consequences"]),
        advice=tuple(Advice(one) for one in row["advice"]),
    )
    return Assessment(
        round=row["round"],
        scope=scope,
        assessed_at=row["assessed_at"],
        assessed_by=row["assessed_by"],
        found=row["found"],
        added=row["added"],
        erased=row["erased"],
        list_hash=row["list_hash"],
    )
