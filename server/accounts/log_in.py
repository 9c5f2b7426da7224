"""Logging in: with which password, and for which company.

What an unknown login costs and answers is what a known one with a wrong password does.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import credentials, service, store
from server.accounts.attempts import Attempts
from server.accounts.logins import canonical_login
from server.accounts.model import (
    Company,
    CompanyNeeded,
    InvitationNotUsable,
    LoginFailed,
    Member,
    MemberState,
    Role,
    Session,
    may_call,
)
from server.accounts.passwords import Passwords
from server.gate import service as gate
from server.kit import db, tokens
from server.kit.db import Connection, Pool
from server.kit.tokens import Token
from server.vault.service import Vault

VERIFICATIONS_MIN: Final = 2
"""Passwords looked at in every log-in, so that its time does not tell whether none, one or two
companies know the person."""
COMPANIES_MAX: Final = 8
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to log in."""

    login: str = field(repr=False)
    password: str = field(repr=False)
    company_id: UUID | None
    address: str = field(repr=False)


async def log_in(
    pool: Pool,
    vault: Vault,
    passwords: Passwords,
    attempts: Attempts,
    attempt: Attempt,
    *,
    lasts: timedelta,
    now: datetime,
) -> Session:
    """Open a session of the one member whose login and password these are.

    Opens its own transactions, one per company; none is open while argon2 runs.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable, LogInBusy, TooManyAttempts, LoginFailed, CompanyNeeded
    """
    login_hash = vault.blind_index(*canonical_login(attempt.login))
    async with passwords.turn():
        await attempts.take(attempt.company_id, login_hash, attempt.address)
        found = [
            member
            for company_id in await _companies(pool, login_hash, attempt.company_id)
            if (member := await _proved(pool, passwords, company_id, login_hash, attempt.password))
        ]
    if not found:
        raise LoginFailed
    if attempt.company_id is not None:
        attempts.forgive(attempt.company_id, login_hash)
    if len(found) > 1:
        raise CompanyNeeded([await _company(pool, one.company_id) for one in found])
    member = found[0]
    async with db.tenant(pool, member.company_id) as conn:
        return await credentials.open_session(
            conn, member.company_id, member.member_id, member.role, lasts=lasts, now=now
        )


async def accept_invitation(
    pool: Pool, passwords: Passwords, code: str, password: str, *, now: datetime
) -> Member:
    """Use an invitation up: the account has a password and is active from now on.

    Opens its own transactions; none is open while argon2 runs.

    Raises
    ------
    InvitationNotUsable, PasswordTooCommon, LogInBusy
    """
    token = tokens.parse(code)
    if token is None or token.kind != service.INVITATION_KIND:
        raise InvitationNotUsable
    async with db.tenant(pool, token.company_id, readonly=True) as conn:
        await _invited(conn, token, now)
    async with passwords.turn():
        password_hash = await passwords.hash(password)
    async with db.tenant(pool, token.company_id) as conn:
        return await _accept(conn, token, password_hash, now)


async def _accept(conn: Connection, token: Token, password_hash: str, now: datetime) -> Member:
    member = await _invited(conn, token, now)
    company_id, member_id = member.company_id, member.member_id
    if member.role is Role.DRIVER:
        # The gate first, as every act on a driver does: two orders would deadlock.
        await gate.set_account_active(conn, company_id, member_id, active=True)
    state = await store.lock_member(conn, company_id, member_id)
    used = await store.delete_invitation(conn, company_id, token.digest)
    if state is not MemberState.INVITED or not used:
        raise InvitationNotUsable
    await store.set_state(conn, company_id, member_id, MemberState.ACTIVE)
    await store.set_password(conn, company_id, member_id, password_hash)
    return member


async def _invited(conn: Connection, token: Token, now: datetime) -> Member:
    member_id = await store.invited_member(conn, token.company_id, token.digest, now)
    member = None if member_id is None else await store.member(conn, token.company_id, member_id)
    if member is None or member.state is not MemberState.INVITED:
        raise InvitationNotUsable
    return member


async def _companies(pool: Pool, login_hash: bytes, wanted: UUID | None) -> list[UUID]:
    async with pool.acquire() as conn:
        chosen = await store.companies_of_login(
            conn, login_hash, wanted=wanted, limit=COMPANIES_MAX
        )
    return chosen + [_NOBODY] * (VERIFICATIONS_MIN - len(chosen))


async def _proved(
    pool: Pool, passwords: Passwords, company_id: UUID, login_hash: bytes, password: str
) -> Member | None:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        member = await store.member_of_login(conn, company_id, login_hash)
    right = await passwords.verify(password, None if member is None else member.password_hash)
    return member if member is not None and right and may_call(member.role, member.state) else None


async def _company(pool: Pool, company_id: UUID) -> Company:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        return await service.company(conn, company_id)
