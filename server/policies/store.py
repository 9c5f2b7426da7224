"""Every SQL statement of the policies."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.accounts.model import Locale
from server.kit.db import Connection, Record
from server.policies.model import (
    Acceptance,
    AddedItem,
    Answered,
    ChangeClass,
    Clarified,
    Controller,
    Document,
    Edition,
    Text,
)


async def editions(conn: Connection, company_id: UUID, document: Document) -> list[Edition]:
    rows = await conn.fetch(
        """
        SELECT document, edition, change_class, adds_purpose, published_at, noticed_at,
               effective_at
          FROM policy_edition
         WHERE company_id = $1 AND document = $2
         ORDER BY edition
        """,
        company_id,
        document.value,
    )
    return [_edition(row) for row in rows]


async def insert_edition(conn: Connection, company_id: UUID, edition: Edition) -> bool:
    """Write a new edition; False if another transaction has written this number."""
    written = await conn.fetchval(
        """
        INSERT INTO policy_edition (company_id, document, edition, change_class, adds_purpose,
                                    published_at, noticed_at, effective_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (company_id, document, edition) DO NOTHING
        RETURNING edition
        """,
        company_id,
        edition.document.value,
        edition.edition,
        edition.change_class.value,
        None if edition.adds_purpose is None else edition.adds_purpose.value,
        edition.published_at,
        edition.noticed_at,
        edition.effective_at,
    )
    return written is not None


async def insert_text(
    conn: Connection, company_id: UUID, document: Document, edition: int, text: Text
) -> None:
    await conn.execute(
        """
        INSERT INTO policy_text (company_id, document, edition, language, sha256, text)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        company_id,
        document.value,
        edition,
        text.language.value,
        text.sha256,
        text.text,
    )


async def texts(
    conn: Connection,
    company_id: UUID,
    document: Document,
    edition: int,
    languages: Collection[Locale],
) -> dict[Locale, Text]:
    """Return the texts of an edition in those of the languages that it has."""
    rows = await conn.fetch(
        """
        SELECT language, sha256, text
          FROM policy_text
         WHERE company_id = $1 AND document = $2 AND edition = $3 AND language = ANY($4::text[])
        """,
        company_id,
        document.value,
        edition,
        [language.value for language in languages],
    )
    found = [
        Text(language=Locale(row["language"]), text=row["text"], sha256=row["sha256"])
        for row in rows
    ]
    return {text.language: text for text in found}


async def insert_acceptance(conn: Connection, company_id: UUID, acceptance: Acceptance) -> bool:
    """Write that a member accepted a text; False if that is written already."""
    written = await conn.fetchval(
        """
        INSERT INTO policy_acceptance (company_id, member_id, document, edition, language, sha256,
                                       accepted_at, clarifications_answered,
                                       clarifications_answered_at, clarifications_open)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (company_id, member_id, document, edition, language) DO NOTHING
        RETURNING edition
        """,
        company_id,
        acceptance.member_id,
        acceptance.document.value,
        acceptance.edition,
        acceptance.language.value,
        acceptance.sha256,
        acceptance.accepted_at,
        [one.clarification_id for one in acceptance.clarified.answered],
        [one.answered_at for one in acceptance.clarified.answered],
        acceptance.clarified.open,
    )
    return written is not None


async def acceptances(conn: Connection, company_id: UUID, member_id: UUID) -> list[Acceptance]:
    rows = await conn.fetch(
        """
        SELECT member_id, document, edition, language, sha256, accepted_at,
               clarifications_answered, clarifications_answered_at, clarifications_open
          FROM policy_acceptance
         WHERE company_id = $1 AND member_id = $2
         ORDER BY document, edition, language
        """,
        company_id,
        member_id,
    )
    return [
        Acceptance(
            member_id=row["member_id"],
            document=Document(row["document"]),
            edition=row["edition"],
            language=Locale(row["language"]),
            sha256=row["sha256"],
            accepted_at=row["accepted_at"],
            clarified=_clarified(row),
        )
        for row in rows
    ]


async def delete_acceptances(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    rows = await conn.fetch(
        """
        DELETE FROM policy_acceptance WHERE company_id = $1 AND member_id = $2 RETURNING edition
        """,
        company_id,
        member_id,
    )
    return len(rows)


async def editions_to_apply(conn: Connection, company_id: UUID, at: datetime) -> list[Edition]:
    """Return the editions in force by ``at`` whose added purpose was not suspended yet."""
    rows = await conn.fetch(
        """
        SELECT e.document, e.edition, e.change_class, e.adds_purpose, e.published_at,
               e.noticed_at, e.effective_at
          FROM policy_edition e
          LEFT JOIN policy_applied a
            ON a.company_id = e.company_id AND a.document = e.document AND a.edition = e.edition
         WHERE e.company_id = $1 AND e.adds_purpose IS NOT NULL AND e.effective_at <= $2
           AND a.edition IS NULL
         ORDER BY e.effective_at, e.document
        """,
        company_id,
        at,
    )
    return [_edition(row) for row in rows]


async def insert_applied(
    conn: Connection, company_id: UUID, edition: Edition, applied_at: datetime
) -> bool:
    """Write that an edition was applied; False if another transaction did so."""
    written = await conn.fetchval(
        """
        INSERT INTO policy_applied (company_id, document, edition, applied_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id, document, edition) DO NOTHING
        RETURNING edition
        """,
        company_id,
        edition.document.value,
        edition.edition,
        applied_at,
    )
    return written is not None


async def controller(conn: Connection, company_id: UUID) -> Controller | None:
    row = await conn.fetchrow(
        """
        SELECT c.name AS company_name, p.bin, p.privacy_contact, c.storage_country, c.track_days,
               c.report_days
          FROM company c LEFT JOIN policy_controller p USING (company_id)
         WHERE c.company_id = $1
        """,
        company_id,
    )
    return None if row is None else Controller(**dict(row))


async def set_controller(
    conn: Connection,
    company_id: UUID,
    *,
    business_number: str | None,
    privacy_contact: str | None,
    changed_at: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO policy_controller (company_id, bin, privacy_contact, changed_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (company_id) DO UPDATE
           SET bin = excluded.bin, privacy_contact = excluded.privacy_contact,
               changed_at = excluded.changed_at
        """,
        company_id,
        business_number,
        privacy_contact,
        changed_at,
    )


def _clarified(row: Record) -> Clarified:
    answered = zip(row["clarifications_answered"], row["clarifications_answered_at"], strict=True)
    return Clarified(
        answered=tuple(Answered(clarification_id=one, answered_at=at) for one, at in answered),
        open=row["clarifications_open"],
    )


def _edition(row: Record) -> Edition:
    purpose = row["adds_purpose"]
    return Edition(
        document=Document(row["document"]),
        edition=row["edition"],
        change_class=ChangeClass(row["change_class"]),
        adds_purpose=None if purpose is None else AddedItem(purpose),
        published_at=row["published_at"],
        noticed_at=row["noticed_at"],
        effective_at=row["effective_at"],
    )
