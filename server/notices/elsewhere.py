"""Telling a member something at one address and nowhere else."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.kit.ids import uuid7
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import preparing, service
from server.notices.model import Elsewhere
from server.vault.model import Category
from server.vault.service import Vault


async def queue(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    kind: NoticeKind,
    told: Mapping[str, str],
    *,
    to: tuple[Channel, str],
    code: str | None = None,
    now: datetime,
) -> None:
    """Tell a member something at an address, whether or not it is what they are reached by.

    A code proves who reads there: it is sealed before anything of it is stored.
    """
    notice_id = uuid7()
    channel, address = to
    sealed = await vault.seal_text(
        company_id,
        member_id,
        Category.CONTACT,
        address,
        row_id=notice_id,
        schema=preparing.ADDRESS_SCHEMA,
        now=now,
    )
    if code is not None:
        code = await preparing.secret(vault, company_id, member_id, notice_id, code, now=now)
        told = {**told, "code": code}
    await service.queue(
        conn,
        company_id,
        member_id,
        kind,
        told,
        now=now,
        notice_id=notice_id,
        elsewhere=Elsewhere(channel=channel, address_sealed=sealed),
    )
