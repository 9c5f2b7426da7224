"""Logging in: with which password, and for which company.

What an unknown login costs and answers is what a known one with a wrong password does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.logins import canonical_login
from server.accounts.model import Company, InvitationNotUsable, Member
from server.credentials import service as credentials
from server.credentials.model import NotPermitted, Session, may_call
from server.kit import db, tokens
from server.kit.db import Pool
from server.log_in.attempts import Attempts
from server.log_in.model import CompanyNeeded, LoginFailed
from server.log_in.passwords import Passwords
from server.vault.opening import renew_for_one
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
    login = canonical_login(attempt.login)
    login_hashes = vault.blind_indexes(*login)
    login_hash = login_hashes[0]
    async with passwords.turn():
        await attempts.take(attempt.company_id, login_hash, attempt.address)
        found = await _members(pool, passwords, login_hashes, attempt)
        if not found:
            # Another process may have made a pepper just now, and somebody joined under it.
            await renew_for_one(vault)
            renewed = vault.blind_indexes(*login)
            if renewed != login_hashes:
                found = await _members(pool, passwords, renewed, attempt)
    if not found:
        raise LoginFailed
    if attempt.company_id is not None:
        attempts.forgive(attempt.company_id, login_hash)
    if len(found) > 1:
        raise CompanyNeeded([await _company(pool, one.company_id) for one in found])
    member = found[0]
    try:
        async with db.tenant(pool, member.company_id) as conn:
            return await credentials.open_session(
                conn, member.company_id, member.member_id, member.role, lasts=lasts, now=now
            )
    except NotPermitted:  # blocked or erased since the password was looked at
        raise LoginFailed from None


async def _members(
    pool: Pool, passwords: Passwords, login_hashes: Sequence[bytes], attempt: Attempt
) -> list[Member]:
    return [
        member
        for company_id in await _companies(pool, login_hashes, attempt.company_id)
        if (member := await _proved(pool, passwords, company_id, login_hashes, attempt))
    ]


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
    if token is None or token.kind != accounts.INVITATION_KIND:
        raise InvitationNotUsable
    async with db.tenant(pool, token.company_id, readonly=True) as conn:
        await accounts.invited(conn, token, now=now)
    async with passwords.turn():
        password_hash = await passwords.hash(password)
    async with db.tenant(pool, token.company_id) as conn:
        return await accounts.accept(conn, token, password_hash=password_hash, now=now)


async def _companies(pool: Pool, login_hashes: Sequence[bytes], wanted: UUID | None) -> list[UUID]:
    async with pool.acquire() as conn:
        chosen = await accounts.companies_of_login(
            conn, login_hashes, wanted=wanted, limit=COMPANIES_MAX
        )
    return chosen + [_NOBODY] * (VERIFICATIONS_MIN - len(chosen))


async def _proved(
    pool: Pool,
    passwords: Passwords,
    company_id: UUID,
    login_hashes: Sequence[bytes],
    attempt: Attempt,
) -> Member | None:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        member = await accounts.member_of_login(conn, company_id, login_hashes)
    right = await passwords.verify(
        attempt.password, None if member is None else member.password_hash
    )
    return member if member is not None and right and may_call(member.role, member.state) else None


async def _company(pool: Pool, company_id: UUID) -> Company:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        return await accounts.company(conn, company_id)
