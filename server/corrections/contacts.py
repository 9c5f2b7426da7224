"""Phones and e-mails that count once the code is told that was sent there."""

import hmac
from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts.model import Profile
from server.corrections import store
from server.corrections.model import (
    CHANNELS,
    CODE_LASTS,
    WORDS,
    Author,
    Change,
    ContactChange,
    ContactUnreachable,
    Pending,
    asked_again,
    new_code,
)
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import elsewhere
from server.notices import service as notices
from server.vault.model import Category, SealedText
from server.vault.service import Vault

CONTACT_SCHEMA: Final = "contact_change.contact"
CODE_INDEX: Final = "contact_code"


async def ask(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    before: Profile,
    change: Change,
    *,
    author: Author,
    ways_out: Collection[Channel],
    now: datetime,
) -> None:
    """Send a code to what is to be the member's phone or e-mail, and tell them that it was.

    Raises
    ------
    ContactUnreachable, CodesTooMany
    """
    channel = CHANNELS[change.field]
    if channel not in ways_out:
        raise ContactUnreachable
    there_is = await store.waiting(conn, company_id, before.member_id)
    sent, first_at = asked_again(
        next((one for one in there_is if one.field is change.field), None), now
    )
    change_id, code, expires_at = uuid7(), new_code(), now + CODE_LASTS
    asked = ContactChange(
        change_id=change_id,
        field=change.field,
        source=author.source,
        by_member=author.by_member,
        contact_sealed=await vault.seal_text(
            company_id,
            before.member_id,
            Category.CONTACT,
            change.after,
            row_id=change_id,
            schema=CONTACT_SCHEMA,
            now=now,
        ),
        code_hash=vault.blind_index(CODE_INDEX, f"{change_id}:{code}"),
        asked_at=now,
        expires_at=expires_at,
        sent=sent,
        first_at=first_at,
    )
    await store.put_waiting(conn, company_id, before.member_id, asked)
    field = WORDS[change.field]
    await elsewhere.queue(
        conn,
        vault,
        company_id,
        before.member_id,
        NoticeKind.CONTACT_CODE,
        {"field": field, "expires_at": rfc3339(expires_at)},
        to=(channel, change.after),
        code=code,
        now=now,
    )
    await notices.queue(
        conn,
        company_id,
        before.member_id,
        NoticeKind.CONTACT_CHANGE_ASKED,
        {
            "field": field,
            "asked_at": rfc3339(now),
            **({} if author.by_member is None else {"by": str(author.by_member)}),
        },
        now=now,
    )


async def pending(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID, *, now: datetime
) -> list[Pending]:
    """Return the phones and e-mails that wait for their code."""
    found = [
        one for one in await store.waiting(conn, company_id, member_id) if now < one.expires_at
    ]
    opened = await vault.open_texts(company_id, [contact_of(one) for one in found])
    return [
        Pending(
            field=one.field,
            source=one.source,
            contact=contact,
            asked_at=one.asked_at,
            expires_at=one.expires_at,
        )
        for one, contact in zip(found, opened, strict=True)
        if contact is not None
    ]


def fits(vault: Vault, asked: ContactChange, code: str) -> bool:
    """Tell whether it is the code that was sent."""
    hashes = vault.blind_indexes(CODE_INDEX, f"{asked.change_id}:{code}")
    return any(hmac.compare_digest(asked.code_hash, one) for one in hashes)


def contact_of(one: ContactChange) -> SealedText:
    return SealedText(sealed=one.contact_sealed, row_id=one.change_id, schema=CONTACT_SCHEMA)
