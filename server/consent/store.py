"""Consent records in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.accounts.model import Locale
from server.consent.model import (
    Consent,
    ConsentActor,
    ConsentChangedMeanwhile,
    ConsentItem,
    ConsentState,
    LocationScope,
    LocationTerms,
    NoticeShown,
    Standing,
)
from server.gate.model import Source
from server.kit.db import Connection, Record, UniqueViolation


async def append(conn: Connection, company_id: UUID, consent: Consent) -> None:
    """Add an act to the history.

    Raises
    ------
    ConsentChangedMeanwhile
        Another transaction has already written this version.
    """
    notice, terms = consent.notice, consent.terms
    try:
        await conn.execute(
            """
            INSERT INTO consent_record
                   (company_id, driver_id, item, version, record_id, state, actor, epoch,
                    recorded_at, notice_edition, notice_language, notice_sha256, scope, sources,
                    background, valid_until, held_since, record, record_sha256, nonce,
                    ledger_index)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                    $18, $19, $20, $21)
            """,
            company_id,
            consent.driver_id,
            consent.item.value,
            consent.version,
            consent.record_id,
            consent.state.value,
            consent.actor.value,
            consent.epoch,
            consent.recorded_at,
            None if notice is None else notice.edition,
            None if notice is None else notice.language.value,
            None if notice is None else notice.sha256,
            None if terms is None else terms.scope.value,
            None if terms is None else sorted(source.value for source in terms.sources),
            None if terms is None else terms.background,
            consent.valid_until,
            consent.held_since,
            consent.record,
            consent.record_sha256,
            consent.nonce,
            consent.ledger_index,
        )
    except UniqueViolation as error:
        raise ConsentChangedMeanwhile from error


async def in_force(conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]) -> list[Consent]:
    """Return the newest act of each driver and item; nothing where there was none."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT ON (driver_id, item)
               driver_id, item, version, record_id, state, actor, epoch, recorded_at,
               notice_edition, notice_language, notice_sha256, scope, sources, background,
               valid_until, held_since, record, record_sha256, nonce, ledger_index
          FROM consent_record
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[])
         ORDER BY driver_id, item, version DESC
        """,
        company_id,
        driver_ids,
    )
    return [_consent(row) for row in rows]


async def states(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]
) -> dict[tuple[UUID, ConsentItem], ConsentState]:
    """Return the state of each driver's items; nothing where nobody was asked."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT ON (driver_id, item) driver_id, item, state
          FROM consent_record
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[])
         ORDER BY driver_id, item, version DESC
        """,
        company_id,
        driver_ids,
    )
    return {
        (row["driver_id"], ConsentItem(row["item"])): ConsentState(row["state"]) for row in rows
    }


async def standings(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    item: ConsentItem,
    *,
    at: datetime,
) -> dict[UUID, Standing]:
    """Return how one consent of each driver stands at ``at``."""
    rows = await conn.fetch(
        """
        SELECT d.driver_id, n.given_at,
               (SELECT max(t.recorded_at) FROM consent_record t
                 WHERE t.company_id = $1 AND t.driver_id = d.driver_id AND t.item = $3
                   AND t.state IN ('withdrawn', 'invalidated')) AS taken_back_at
          FROM unnest($2::uuid[]) AS d (driver_id)
          LEFT JOIN LATERAL (SELECT r.state, r.valid_until,
                                    coalesce(r.held_since, r.recorded_at) AS given_at
                               FROM consent_record r
                              WHERE r.company_id = $1 AND r.driver_id = d.driver_id AND r.item = $3
                              ORDER BY r.version DESC
                              LIMIT 1) n
                 ON n.state = 'given' AND (n.valid_until IS NULL OR n.valid_until > $4)
        """,
        company_id,
        driver_ids,
        item.value,
        at,
    )
    return {row["driver_id"]: Standing(row["given_at"], row["taken_back_at"]) for row in rows}


async def history(
    conn: Connection, company_id: UUID, driver_id: UUID, *, after: UUID, limit: int
) -> list[Consent]:
    """Return a page of the driver's records, the oldest first: ids grow with time."""
    rows = await conn.fetch(
        """
        SELECT driver_id, item, version, record_id, state, actor, epoch, recorded_at,
               notice_edition, notice_language, notice_sha256, scope, sources, background,
               valid_until, held_since, record, record_sha256, nonce, ledger_index
          FROM consent_record
         WHERE company_id = $1 AND driver_id = $2 AND record_id > $3
         ORDER BY record_id
         LIMIT $4
        """,
        company_id,
        driver_id,
        after,
        limit,
    )
    return [_consent(row) for row in rows]


async def record(
    conn: Connection, company_id: UUID, driver_id: UUID, record_id: UUID
) -> Consent | None:
    row = await conn.fetchrow(
        """
        SELECT driver_id, item, version, record_id, state, actor, epoch, recorded_at,
               notice_edition, notice_language, notice_sha256, scope, sources, background,
               valid_until, held_since, record, record_sha256, nonce, ledger_index
          FROM consent_record
         WHERE company_id = $1 AND driver_id = $2 AND record_id = $3
        """,
        company_id,
        driver_id,
        record_id,
    )
    return None if row is None else _consent(row)


async def bound(
    conn: Connection, company_id: UUID, *, after: tuple[int, UUID], limit: int
) -> list[tuple[int, UUID, Consent | None]]:
    """Return records in the order of the entries they name, each with that index and its id.

    ``after`` is the last of a page. None of what was never written so.
    """
    rows = await conn.fetch(
        """
        SELECT driver_id, item, version, record_id, state, actor, epoch,
               CASE WHEN possible THEN recorded_at END AS recorded_at,
               notice_edition, notice_language, notice_sha256, scope, sources, background,
               CASE WHEN possible THEN valid_until END AS valid_until,
               CASE WHEN possible THEN held_since END AS held_since,
               record, record_sha256, nonce, ledger_index, possible
          FROM (SELECT *,
                       -- Other times were not written here; they would not fit a datetime.
                       least(recorded_at, valid_until, held_since) >= '2000-01-01Z'
                       AND greatest(recorded_at, valid_until, held_since) < '2201-01-01Z'
                       AND num_nulls(scope, sources, background) IN (0, 3)
                       AND num_nulls(notice_edition, notice_language, notice_sha256) IN (0, 3)
                       AS possible
                  FROM consent_record
                 WHERE company_id = $1 AND (ledger_index, record_id) > ($2, $3)) AS c
         ORDER BY ledger_index, record_id
         LIMIT $4
        """,
        company_id,
        *after,
        limit,
    )
    return [(row["ledger_index"], row["record_id"], _consent_or_none(row)) for row in rows]


async def count_unbound(conn: Connection, company_id: UUID) -> int:
    """Return how many acts name no entry of the ledger: they are older than records."""
    count: int = await conn.fetchval(
        "SELECT count(*) FROM consent_record WHERE company_id = $1 AND ledger_index IS NULL",
        company_id,
    )
    return count


async def ending(
    conn: Connection, company_id: UUID, after: datetime | None, until: datetime
) -> list[tuple[UUID, ConsentItem, datetime]]:
    """Return whose consents, still given, end in ``(after, until]``, and when; by driver.

    ``after`` None is since ever: also those whose end nobody has written down.
    """
    rows = await conn.fetch(
        """
        SELECT c.driver_id, c.item, c.valid_until
          FROM consent_record c
         WHERE c.company_id = $1 AND c.state = 'given'
           AND c.valid_until <= $3 AND ($2::timestamptz IS NULL OR c.valid_until > $2)
           AND NOT EXISTS (SELECT FROM consent_record later
                            WHERE later.company_id = c.company_id
                              AND later.driver_id = c.driver_id
                              AND later.item = c.item AND later.version > c.version)
         ORDER BY c.driver_id, c.item
        """,
        company_id,
        after,
        until,
    )
    return [(row["driver_id"], ConsentItem(row["item"]), row["valid_until"]) for row in rows]


async def storage_country(conn: Connection, company_id: UUID) -> str:
    """Return where the company's data is stored, ISO 3166-1; what it promises stays meanwhile."""
    found: str = await conn.fetchval(
        "SELECT storage_country FROM company WHERE company_id = $1 FOR SHARE", company_id
    )
    return found


async def set_storage_country(conn: Connection, company_id: UUID, country: str) -> bool:
    """Write where the data is stored; False if consents in force say another country."""
    written = await conn.fetchval(
        """
        UPDATE company SET storage_country = $2
         WHERE company_id = $1
           AND NOT EXISTS (SELECT FROM consent_record c
                            WHERE c.company_id = $1 AND c.state = 'given'
                              AND NOT EXISTS (SELECT FROM consent_record later
                                               WHERE later.company_id = c.company_id
                                                 AND later.driver_id = c.driver_id
                                                 AND later.item = c.item
                                                 AND later.version > c.version))
        RETURNING true
        """,
        company_id,
        country,
    )
    return written is not None


async def any_given(conn: Connection, company_id: UUID) -> bool:
    """Tell whether any driver's consent is in force."""
    found = await conn.fetchval(
        """
        SELECT EXISTS (SELECT FROM consent_record c
                        WHERE c.company_id = $1 AND c.state = 'given'
                          AND NOT EXISTS (SELECT FROM consent_record later
                                           WHERE later.company_id = c.company_id
                                             AND later.driver_id = c.driver_id
                                             AND later.item = c.item
                                             AND later.version > c.version))
        """,
        company_id,
    )
    return bool(found)


async def track_terms(conn: Connection, company_id: UUID) -> list[tuple[UUID, bool, int | None]]:
    """Return of each consent to tracks ever given: driver, whether it still is, days it says."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT ON (driver_id, item) driver_id, state = 'given' AS is_given,
               substring(record::jsonb #>> '{pii_processing,purposes,0,retention_period}'
                         FROM '^P([0-9]+)D$')::integer AS days
          FROM consent_record
         WHERE company_id = $1 AND item IN ('location', 'plan_fact')
           AND state NOT IN ('requested', 'declined')
         ORDER BY driver_id, item, version DESC
        """,
        company_id,
    )
    return [(row["driver_id"], row["is_given"], row["days"]) for row in rows]


async def commit_to(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Keep what shows the driver's records to whoever has their receipts, and names nobody."""
    await conn.execute(
        """
        INSERT INTO consent_commitment (company_id, commitment)
        SELECT $1, sha256(nonce || convert_to(record, 'UTF8'))
          FROM consent_record
         WHERE company_id = $1 AND driver_id = $2 AND record IS NOT NULL
            ON CONFLICT DO NOTHING
        """,
        company_id,
        driver_id,
    )


async def commitments_kept(
    conn: Connection, company_id: UUID, commitments: Collection[bytes]
) -> set[bytes]:
    """Return which of these were kept of records that were erased."""
    rows = await conn.fetch(
        """
        SELECT commitment FROM consent_commitment
         WHERE company_id = $1 AND commitment = ANY($2::bytea[])
        """,
        company_id,
        list(commitments),
    )
    return {row["commitment"] for row in rows}


async def delete(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        """
        DELETE FROM consent_record WHERE company_id = $1 AND driver_id = $2 RETURNING version
        """,
        company_id,
        driver_id,
    )
    return len(rows)


def _consent(row: Record) -> Consent:
    return Consent(
        driver_id=row["driver_id"],
        item=ConsentItem(row["item"]),
        version=row["version"],
        record_id=row["record_id"],
        state=ConsentState(row["state"]),
        actor=ConsentActor(row["actor"]),
        epoch=row["epoch"],
        recorded_at=row["recorded_at"],
        notice=_notice(row),
        terms=_terms(row),
        valid_until=row["valid_until"],
        held_since=row["held_since"],
        record=row["record"],
        record_sha256=row["record_sha256"],
        nonce=row["nonce"],
        ledger_index=row["ledger_index"],
    )


def _consent_or_none(row: Record) -> Consent | None:
    sources = row["sources"]
    try:
        # Sources are written in this order, each once.
        was_written = row["possible"] and (sources is None or sources == sorted(set(sources)))
        return _consent(row) if was_written else None
    except (ValueError, TypeError):
        return None


def _notice(row: Record) -> NoticeShown | None:
    if row["notice_edition"] is None:
        return None
    return NoticeShown(
        edition=row["notice_edition"],
        language=Locale(row["notice_language"]),
        sha256=row["notice_sha256"],
    )


def _terms(row: Record) -> LocationTerms | None:
    if row["scope"] is None:
        return None
    return LocationTerms(
        scope=LocationScope(row["scope"]),
        sources=frozenset(map(Source, row["sources"])),
        background=row["background"],
    )
