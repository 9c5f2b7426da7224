"""Companies and their members: adding, reading, erasing. What is done to an account: `acts`."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import acts, store
from server.accounts.model import (
    TRACK_DAYS_MIN,
    Company,
    CompanyMissing,
    DriverPage,
    DriverProfile,
    Invitation,
    LoginTaken,
    Member,
    NewMember,
    Profile,
    refuse_time_zone,
)
from server.accounts.sealing import driver_profile, logins_of, profiles, sealed
from server.credentials import service as credentials
from server.credentials.model import MemberMissing, MemberState, Role
from server.gate import service as gate
from server.kit import db
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.ledger import service as ledger
from server.standing import service as standing
from server.standing.model import refuse_move
from server.vault.service import Vault

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


async def shown_since(
    conn: Connection, company_id: UUID, since: datetime, *, now: datetime
) -> datetime:
    """Return from when on, of what is after ``since``, the company may be shown positions.

    What is older than it keeps them is as good as gone, also before the daily job has removed it.
    """
    if since >= now - timedelta(days=TRACK_DAYS_MIN):  # as mostly: nothing more is asked for
        return since
    found = await company(conn, company_id)
    return max(since, found.tracks_kept_since(now) or since)


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
    invitation = await acts.invite(conn, company_id, member_id, now)
    return (await profiles(vault, company_id, [member]))[0], invitation


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
    return await store.states(conn, company_id, Role.DRIVER)


async def member_states(conn: Connection, company_id: UUID) -> dict[UUID, MemberState]:
    """Return the account state of every member, of any role, ordered by id."""
    return await store.states(conn, company_id)


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
    refuse_move(await credentials.locked_state(conn, company_id, member_id), state)
    await store.set_state(conn, company_id, member_id, state)


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
    forgotten += await standing.erase(conn, company_id, member_id)
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
