"""Logging in: with which password, and for which company.

What an unknown login costs and answers is what a known one with a wrong password does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import acts
from server.accounts import service as accounts
from server.accounts.logins import canonical_login
from server.accounts.model import Company, Member
from server.credentials import service as credentials
from server.credentials.model import NotPermitted, Session, may_call
from server.kit import db
from server.kit.db import Pool
from server.log_in.attempts import Attempts
from server.log_in.model import CodeNeeded, CompanyNeeded, LoginFailed, TooManyAttempts
from server.log_in.passwords import Passwords
from server.log_in.telling import Telling
from server.second_factor import service as second_factor
from server.second_factor.model import Judgement, Verdict
from server.standing import service as standing
from server.vault.opening import renew_for_one
from server.vault.service import Vault

VERIFICATIONS_MIN: Final = 2
"""Passwords looked at in every log-in, so that its time does not tell whether none, one or two
companies know the person."""
COMPANIES_MAX: Final = 8
_NOBODY: Final = UUID(int=0)
_LETS_IN: Final = frozenset({Verdict.NOT_NEEDED, Verdict.RIGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to log in."""

    login: str = field(repr=False)
    password: str = field(repr=False)
    company_id: UUID | None
    address: str = field(repr=False)
    code: str | None = field(default=None, repr=False)


async def log_in(
    pool: Pool,
    vault: Vault,
    passwords: Passwords,
    attempts: Attempts,
    telling: Telling,
    attempt: Attempt,
    *,
    lasts: timedelta,
    now: datetime,
) -> Session:
    """Open a session of the one member whose login, password and second factor these are.

    Who has the password but not the code that it takes learns that, and nothing else.

    Opens its own transactions, one per company; none is open while argon2 runs.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable, LogInBusy, TooManyAttempts, LoginFailed, CodeNeeded,
    CompanyNeeded
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
        if attempts.are_many(attempt.company_id, login_hash):
            telling.guessed(attempt.company_id, login_hash, now)
        raise LoginFailed
    member, judged = await _one_of(pool, vault, found, attempt.code, now=now)
    session = await _open(pool, member, judged, lasts=lasts, now=now)
    if attempt.company_id is not None:
        attempts.forgive(attempt.company_id, login_hash)
    return session


async def _one_of(
    pool: Pool, vault: Vault, found: Sequence[Member], code: str | None, *, now: datetime
) -> tuple[Member, Judgement]:
    """Return whom of those whose password it is the code fits as well."""
    judged = [
        (one, await second_factor.judge(pool, vault, one.company_id, one.member_id, code, now=now))
        for one in found
    ]
    _refuse_for_the_code([judgement for _, judgement in judged])
    for one, judgement in judged:
        if judgement.verdict is Verdict.WRONG:
            await second_factor.was_for_another(pool, one.company_id, one.member_id)
    fitting = [(one, judgement) for one, judgement in judged if judgement.verdict in _LETS_IN]
    if len(fitting) > 1:
        raise CompanyNeeded([await _company(pool, one.company_id) for one, _ in fitting])
    return fitting[0]


def _refuse_for_the_code(judged: Sequence[Judgement]) -> None:
    """Refuse where the code is missing, or fits nobody.

    Raises
    ------
    LoginFailed, CodeNeeded, TooManyAttempts
    """
    verdicts = {one.verdict for one in judged}
    if Verdict.NEEDED in verdicts:
        raise CodeNeeded
    if verdicts & _LETS_IN:
        return
    if Verdict.WAIT in verdicts:
        raise TooManyAttempts(max(1.0, *(one.wait_s for one in judged)))
    raise LoginFailed


async def _open(
    pool: Pool, member: Member, judged: Judgement, *, lasts: timedelta, now: datetime
) -> Session:
    company_id, member_id = member.company_id, member.member_id
    try:
        async with db.tenant(pool, company_id) as conn:
            # The same code at the same time in another log-in: one of both waits here, and is late.
            if not await second_factor.use(conn, company_id, member_id, judged):
                raise LoginFailed
            session = await credentials.open_session(
                conn, company_id, member_id, member.role, lasts=lasts, now=now
            )
            # From here on the member's row stays as it is: a change of the password either was
            # before, or waits and ends this session as well.
            if await acts.password_hash(conn, company_id, member_id) != member.password_hash:
                raise LoginFailed
            await standing.note_used(conn, company_id, member_id, now)
            return session
    except NotPermitted:  # blocked or erased since the password was looked at
        raise LoginFailed from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One try to prove again who is at a session."""

    company_id: UUID
    member_id: UUID
    digest: bytes = field(repr=False)
    """Of the session's token."""
    password: str = field(repr=False)
    code: str | None = field(repr=False)
    address: str = field(repr=False)


async def step_up(
    pool: Pool,
    vault: Vault,
    passwords: Passwords,
    attempts: Attempts,
    telling: Telling,
    proof: Proof,
    *,
    now: datetime,
) -> datetime:
    """Let the session count as proven anew; return until when.

    Counted with the attempts to log in, or whoever holds a session could guess here as well. Opens
    its own transactions; none is open while argon2 runs.

    Raises
    ------
    LogInBusy, TooManyAttempts, LoginFailed, CodeNeeded, NotAuthenticated
    """
    company_id, member_id = proof.company_id, proof.member_id
    async with db.tenant(pool, company_id, readonly=True) as conn:
        hashes = await accounts.login_hashes(conn, company_id, member_id)
        member = await accounts.member_of_login(conn, company_id, hashes)
    counted = hashes[0] if hashes else member_id.bytes
    async with passwords.turn():
        await attempts.take(company_id, counted, proof.address)
        right = await passwords.verify(
            proof.password, None if member is None else member.password_hash
        )
    if not right:
        if attempts.are_many(company_id, counted):
            telling.guessed(company_id, counted, now)
        raise LoginFailed
    judged = await second_factor.judge(pool, vault, company_id, member_id, proof.code, now=now)
    _refuse_for_the_code([judged])
    async with db.tenant(pool, company_id) as conn:
        if not await second_factor.use(conn, company_id, member_id, judged):
            raise LoginFailed
        until = await credentials.step_up(conn, company_id, proof.digest, now=now)
    attempts.forgive(company_id, counted)
    return until


async def _members(
    pool: Pool, passwords: Passwords, login_hashes: Sequence[bytes], attempt: Attempt
) -> list[Member]:
    return [
        member
        for company_id in await _companies(pool, login_hashes, attempt.company_id)
        if (member := await _proved(pool, passwords, company_id, login_hashes, attempt))
    ]


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
