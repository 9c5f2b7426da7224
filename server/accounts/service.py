"""Companies and their members: inviting, reading, blocking, erasing."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import store
from server.accounts.model import (
    INVITATION_LASTS,
    BlockReason,
    Company,
    CompanyMissing,
    DriverPage,
    DriverProfile,
    Invitation,
    InvitationNotUsable,
    LoginTaken,
    Member,
    NewMember,
    Profile,
    refuse_time_zone,
    refuse_transition,
)
from server.accounts.sealing import driver_profile, logins_of, profiles, sealed
from server.credentials import service as credentials
from server.credentials.model import MemberMissing, MemberState, MemberStateRefused, Role
from server.gate import service as gate
from server.kit import db, tokens
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.tokens import Token
from server.ledger import service as ledger
from server.vault.service import Vault

INVITATION_KIND: Final = "ji"
BUFFER_MAX_S: Final = 3 * 24 * 3600
SHIFT_MAX_S: Final = 14 * 3600
TRACK_DAYS: Final = 60
STAFF_ROLES: Final = frozenset({Role.MAIN_USER, Role.DISPATCHER})


async def create_company(
    pool: Pool,
    vault: Vault,
    *,
    name: str,
    time_zone: str,
    main_user: NewMember,
    erasure_grace_s: int,
    now: datetime,
) -> tuple[Company, Invitation]:
    """Make a company and invite its main user. Opens its own transaction: no company is known yet.

    Raises
    ------
    TimeZoneUnknown, PhoneUnreadable, EmailUnreadable
    """
    refuse_time_zone(time_zone)
    company = Company(
        company_id=uuid7(),
        name=name,
        time_zone=time_zone,
        buffer_max_s=BUFFER_MAX_S,
        shift_max_s=SHIFT_MAX_S,
        erasure_grace_s=erasure_grace_s,
        track_days=TRACK_DAYS,
        created_at=now,
    )
    await vault.create_company(company.company_id, now)
    async with db.tenant(pool, company.company_id) as conn:
        await store.insert_company(conn, company)
        _, invitation = await add_member(conn, vault, company.company_id, main_user, now=now)
    return company, invitation


async def company(conn: Connection, company_id: UUID) -> Company:
    """Return the company and its settings.

    Raises
    ------
    CompanyMissing
    """
    return there(await store.company(conn, company_id), CompanyMissing)


async def rename(conn: Connection, company_id: UUID, name: str) -> None:
    """Call the company something else: another legal person took it over."""
    await store.rename(conn, company_id, name)


async def every_company(conn: Connection) -> list[UUID]:
    """Return the ids of all companies; ``conn`` acts as the job runner's role."""
    return await store.every_company(conn)


async def add_member(
    conn: Connection, vault: Vault, company_id: UUID, new: NewMember, *, now: datetime
) -> tuple[Profile, Invitation]:
    """Add a member in state ``invited``; for a driver also the gate, closed.

    Says nothing about other companies: only this one's logins can be taken.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable, LoginTaken
    """
    member_id = uuid7()
    await vault.renew()  # a login under a pepper that is exchanged just now would be found nowhere
    logins = logins_of(vault, new)
    # Asked before keys are made; the table's constraint is what decides a race.
    for hashes in logins.every_hash:
        if await store.member_of_login(conn, company_id, hashes) is not None:
            raise LoginTaken
    await vault.create_subject(company_id, member_id)
    member = await sealed(vault, company_id, member_id, new, logins, now=now)
    await store.insert_member(conn, member)
    await ledger.enrol(conn, vault, company_id, member_id, now)
    await store.insert_logins(conn, company_id, member.login_hashes)
    if new.role is Role.DRIVER:
        await gate.create(conn, company_id, member_id)
    invitation = await _invite(conn, company_id, member_id, now)
    return (await profiles(vault, company_id, [member]))[0], invitation


async def invite_again(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Invitation:
    """Replace the invitation of a driver who has not accepted; the old code stops working.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await gate.lock(conn, company_id, driver_id)
    state = await credentials.locked_state(conn, company_id, driver_id)
    if state is not MemberState.INVITED:
        raise MemberStateRefused(state, MemberState.INVITED)
    return await _invite(conn, company_id, driver_id, now)


async def invited(conn: Connection, code: Token, *, now: datetime) -> Member:
    """Return whom the code invites.

    Raises
    ------
    InvitationNotUsable
        It was used, replaced or ran out.
    """
    member_id = await store.invited_member(conn, code.company_id, code.digest, now)
    member = None if member_id is None else await store.member(conn, code.company_id, member_id)
    if member is None or member.state is not MemberState.INVITED:
        raise InvitationNotUsable
    return member


async def accept(conn: Connection, code: Token, *, password_hash: str, now: datetime) -> Member:
    """Use the invitation up: the account is active and has a password.

    Raises
    ------
    InvitationNotUsable
    """
    member = await invited(conn, code, now=now)
    company_id, member_id = member.company_id, member.member_id
    if member.role is Role.DRIVER:
        # The gate first, as every act on a driver does: two orders would deadlock.
        await gate.set_account_active(conn, company_id, member_id, active=True)
    state = await credentials.locked_state(conn, company_id, member_id)
    used = await store.delete_invitation(conn, company_id, code.digest)
    if state is not MemberState.INVITED or not used:
        raise InvitationNotUsable
    await store.set_state(conn, company_id, member_id, MemberState.ACTIVE)
    await store.set_password(conn, company_id, member_id, password_hash)
    return member


member_of_login = store.member_of_login


async def companies_of_login(
    conn: Connection, login_hashes: Sequence[bytes], *, wanted: UUID | None, limit: int
) -> list[UUID]:
    """Return the companies that know this login; ``conn`` is not inside any company."""
    return await store.companies_of_login(conn, login_hashes, wanted=wanted, limit=limit)


async def profile(conn: Connection, vault: Vault, company_id: UUID, member_id: UUID) -> Profile:
    """Return one member.

    Raises
    ------
    MemberMissing
    """
    member = there(await store.member(conn, company_id, member_id), MemberMissing)
    return (await profiles(vault, company_id, [member]))[0]


async def staff(
    conn: Connection, vault: Vault, company_id: UUID, *, cursor: str | None, limit: int
) -> tuple[list[Profile], str | None]:
    """Return a page of the dispatchers and main users, and the cursor of the next.

    Raises
    ------
    CursorInvalid
    """
    found, following = await _page(
        conn, company_id, STAFF_ROLES, state=None, cursor=cursor, limit=limit
    )
    return await profiles(vault, company_id, found, of_many=True), following


async def drivers(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    state: MemberState | None,
    cursor: str | None,
    limit: int,
) -> DriverPage:
    """Return a page of the drivers, ordered by id.

    Raises
    ------
    CursorInvalid
    """
    found, following = await _page(
        conn, company_id, {Role.DRIVER}, state=state, cursor=cursor, limit=limit
    )
    read = await profiles(vault, company_id, found, of_many=True)
    return DriverPage(items=tuple(map(driver_profile, read)), next_cursor=following)


async def driver(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID
) -> DriverProfile:
    """Return one driver.

    Raises
    ------
    MemberMissing
        There is no such driver in this company.
    """
    member = await store.member(conn, company_id, driver_id)
    if member is None or member.role is not Role.DRIVER:
        raise MemberMissing
    return driver_profile((await profiles(vault, company_id, [member]))[0])


async def is_driver(conn: Connection, company_id: UUID, member_id: UUID) -> bool:
    """Tell whether the company has a driver of this id, whatever their state."""
    member = await store.member(conn, company_id, member_id)
    return member is not None and member.role is Role.DRIVER


async def names(
    conn: Connection, vault: Vault, company_id: UUID, member_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Return the names of those members that exist and can be read."""
    found = await store.members_by_id(conn, company_id, member_ids)
    read = await profiles(vault, company_id, found, of_many=True)
    return {one.member_id: one.name for one in read}


async def driver_states(conn: Connection, company_id: UUID) -> dict[UUID, MemberState]:
    """Return the account state of every driver of the company."""
    return await store.driver_states(conn, company_id)


async def member_states(conn: Connection, company_id: UUID) -> dict[UUID, MemberState]:
    """Return the account state of every member, of any role, ordered by id."""
    return await store.member_states(conn, company_id)


async def main_users(conn: Connection, company_id: UUID) -> list[UUID]:
    """Return the ids of the active main users: whom the company has to answer for it."""
    return await store.active_members(conn, company_id, Role.MAIN_USER)


async def dispatchers(conn: Connection, company_id: UUID) -> list[UUID]:
    """Return the ids of the active dispatchers."""
    return await store.active_members(conn, company_id, Role.DISPATCHER)


async def state_of(conn: Connection, company_id: UUID, member_id: UUID) -> MemberState:
    """Return the account's state, locked until the transaction ends.

    Raises
    ------
    MemberMissing
    """
    return await credentials.locked_state(conn, company_id, member_id)


async def set_state(
    conn: Connection, company_id: UUID, member_id: UUID, state: MemberState
) -> None:
    """Change what the account is. The gate is the caller's, and locked before this.

    Raises
    ------
    MemberMissing, MemberStateRefused
    """
    refuse_transition(await credentials.locked_state(conn, company_id, member_id), state)
    await store.set_state(conn, company_id, member_id, state)


async def block(
    conn: Connection, company_id: UUID, driver_id: UUID, reason: BlockReason, *, now: datetime
) -> None:
    """Close the gate for the account; inside ``gate.stopping`` only, after the shift was ended.

    A driver who is blocked still reads, withdraws and asks for erasure. With a lost phone, log-ins
    and devices end as well: whoever found it is not the driver.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await gate.set_account_active(conn, company_id, driver_id, active=False)
    await _move(conn, company_id, driver_id, MemberState.ACTIVE, MemberState.BLOCKED)
    if reason is BlockReason.LOST_PHONE:
        await credentials.end_sessions_and_devices(conn, company_id, driver_id, now=now)


async def unblock(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> None:
    """Open the gate for the account again; consents are as they were left, no shift is on.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await gate.set_account_active(conn, company_id, driver_id, active=True)
    await gate.moment(conn, company_id, driver_id, now)
    await _move(conn, company_id, driver_id, MemberState.BLOCKED, MemberState.ACTIVE)


end_every_invitation = store.delete_every_invitation


async def login_hashes(conn: Connection, company_id: UUID, member_id: UUID) -> tuple[bytes, ...]:
    """Return the blind indexes under which the member is found when logging in."""
    member = await store.member(conn, company_id, member_id)
    return () if member is None else member.login_hashes


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the member and all they prove themself with; return the number of rows.

    Whose pseudonym it was in the ledger is forgotten with them.
    """
    forgotten = await ledger.erase(conn, company_id, member_id)
    log_ins = await store.log_ins_of(conn, company_id, member_id)
    forgotten += await store.delete_log_ins(conn, company_id, log_ins)
    return forgotten + await store.delete_member(conn, company_id, member_id)


async def _page(
    conn: Connection,
    company_id: UUID,
    roles: Collection[Role],
    *,
    state: MemberState | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[Member], str | None]:
    after = place_of(cursor)
    found = await store.members(
        conn, company_id, roles=roles, state=state, after=after, limit=limit + 1
    )
    return page_of(found, limit, lambda one: cursor_of(one.member_id))


async def _move(
    conn: Connection, company_id: UUID, member_id: UUID, before: MemberState, after: MemberState
) -> None:
    # Narrower than the table: in grace an account also becomes active or blocked, but by no act
    # of the staff.
    state = await credentials.locked_state(conn, company_id, member_id)
    if state is not before:
        raise MemberStateRefused(state, after)
    await store.set_state(conn, company_id, member_id, after)


async def _invite(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> Invitation:
    code, code_hash = tokens.mint(INVITATION_KIND, company_id)
    invitation = Invitation(code=code, expires_at=now + INVITATION_LASTS)
    await store.replace_invitation(
        conn,
        company_id,
        member_id,
        code_hash=code_hash,
        expires_at=invitation.expires_at,
        now=now,
    )
    return invitation
