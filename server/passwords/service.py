"""Choosing another password: no other log-in outlives it, and the person is told."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.accounts import acts
from server.accounts import service as accounts
from server.credentials import service as credentials
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.log_in.passwords import Passwords
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.service import Vault

OURS = ("jolda",)
"""What every guesser tries first here."""


async def hashed(
    pool: Pool,
    vault: Vault,
    passwords: Passwords,
    company_id: UUID,
    member_id: UUID,
    password: str,
) -> str:
    """Return the hash of a new password, which is none that whoever knows the person guesses.

    No transaction is open while it is made.

    Raises
    ------
    PasswordTooCommon, LogInBusy, MemberMissing
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        known = await _known(conn, vault, company_id, member_id)
    async with passwords.turn():
        return await passwords.hash(password, known=known)


async def change(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    password_hash: str,
    *,
    keep: bytes | None,
    by: Actor,
    by_code: bool = False,
    now: datetime,
) -> int:
    """Write the new password, end every session but the one to keep, and tell the person.

    Return how many sessions ended. ``keep`` is the digest of its token; None: none is kept.
    """
    await acts.set_password(conn, company_id, member_id, password_hash)
    ended = await credentials.end_other_sessions(conn, company_id, member_id, keep or b"")
    told = {"changed_at": rfc3339(now)}
    await notices.queue(conn, company_id, member_id, NoticeKind.PASSWORD_CHANGED, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.PASSWORD_CHANGED,
        actor=by,
        subject_id=member_id,
        facts={"by_code": True} if by_code else {},
        now=now,
    )
    return ended


async def _known(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID
) -> Sequence[str]:
    """Return the words of the person and the company that a password must not be made of."""
    profile = await accounts.profile(conn, vault, company_id, member_id)
    company = await accounts.company(conn, company_id)
    texts = [profile.name, profile.phone, profile.email, company.name]
    parts = [text.replace("@", " ").split() for text in texts if text]
    return [*OURS, *(word for some in parts for word in (*some, "".join(some)))]
