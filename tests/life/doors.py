"""Every way in which somebody can do something to an account, and an account in every state."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from aiohttp import ClientSession

from server.accounts import acts
from server.consent import service as consent
from server.credentials import service as credentials
from server.credentials.model import MemberState, Scope
from server.erasure import saga
from server.erasure import service as erasure
from server.gate import service as gate
from server.idle import service as idle
from server.kit import db
from server.kit.errors import DomainError
from server.kit.ids import uuid7
from server.ledger.model import Act as LedgerAct
from server.ledger.model import Actor, ActorKind
from server.life import restoring
from server.standing.model import Act, BlockReason, By
from server.winding_up import asking
from tests.accounts.people import PASSWORD, join, new_driver
from tests.http import bearer
from tests.world import NOW, World, open_session

HOUR: Final = timedelta(hours=1)
NOBODY: Final = UUID(int=7)
OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)
CALLERS: Final = (By.PERSON, By.DISPATCHER, By.MAIN_USER, By.API_TOKEN)
ROLES: Final[Mapping[By, str]] = {
    By.PERSON: "driver",
    By.DISPATCHER: "dispatcher",
    By.MAIN_USER: "main_user",
}
TABLES: Final = (
    "member",
    "gate",
    "session",
    "invitation",
    "account_standing",
    "erasure_request",
    "notice",
    "ledger_entry",
)
Door: TypeAlias = Callable[["Stage"], Awaitable[bool]]
"""Tries; tells whether it was let."""


class Crash(Exception):
    """Ends the erasing job where it has begun."""


@dataclass(kw_only=True)
class Stage:
    world: World
    client: ClientSession
    tokens: dict[By, str]
    driver_id: UUID
    password_hash: str
    there: bool = True
    request_id: UUID = NOBODY

    @classmethod
    async def make(cls, world: World, client: ClientSession) -> "Stage":
        await world.owner.execute("UPDATE company SET erasure_grace_s = 3600")
        tokens = {
            By.DISPATCHER: await world.session("dispatcher"),
            By.MAIN_USER: await world.session("main_user"),
        }
        async with db.tenant(world.pool, world.company_id) as conn:
            _, tokens[By.API_TOKEN] = await credentials.add_api_token(
                conn,
                world.company_id,
                name="1C",
                scopes=list(Scope),
                expires_at=None,
                now=NOW,
            )
        added = await join(client, tokens[By.DISPATCHER])
        driver_id = UUID(added["driver"]["driver_id"])
        known = await world.owner.fetchval(
            "SELECT password_hash FROM member WHERE member_id = $1", driver_id
        )
        return cls(
            world=world, client=client, tokens=tokens, driver_id=driver_id, password_hash=known
        )

    @property
    def key(self) -> tuple[UUID, UUID]:
        return self.world.company_id, self.driver_id if self.there else NOBODY

    async def put(self, state: MemberState | None, act: Act, by: By) -> None:
        """Let the account be in this state, and the act be the actor's to do if it is at all."""
        self.there = state is not None
        if state is None:
            self.tokens[By.PERSON] = "js_none"
            return
        owner, driver = self.world.owner, self.driver_id
        for table in ("invitation", "session", "account_standing"):
            await owner.execute(f"DELETE FROM {table} WHERE member_id = $1", driver)  # noqa: S608
        await owner.execute("DELETE FROM erasure_step")
        await owner.execute("DELETE FROM erasure_request")
        await owner.execute(
            "UPDATE member SET state = $2, password_hash = $3 WHERE member_id = $1",
            driver,
            state.value,
            self.password_hash,
        )
        await owner.execute(
            "UPDATE gate SET account_active = $2 WHERE driver_id = $1",
            driver,
            state is MemberState.ACTIVE,
        )
        await self._stand(state, by)
        await self._request(state, act, by)
        self.tokens[By.PERSON] = await open_session(self.world.pool, self.world.company_id, driver)

    async def _stand(self, state: MemberState, by: By) -> None:
        long_ago = NOW - timedelta(days=400)
        ordered = by is By.OPERATOR
        reason = BlockReason.LEGAL_ORDER if ordered else BlockReason.OTHER
        is_acted = state in {MemberState.BLOCKED, MemberState.OFFBOARDED}
        await self.world.owner.execute(
            "INSERT INTO account_standing (company_id, member_id, joined_at, used_at, reason,"
            " acted_by, since) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *self.key,
            None if by is By.SERVER and state is MemberState.INVITED else long_ago,
            long_ago,
            reason.value if is_acted else None,
            by.value if is_acted else None,
            NOW if is_acted else None,
        )
        await self.world.owner.execute(
            "UPDATE member SET created_at = $2 WHERE member_id = $1", self.driver_id, long_ago
        )

    async def _request(self, state: MemberState, act: Act, by: By) -> None:
        """Let a request for erasure be there if the state or the act has one."""
        request = {MemberState.GRACE: "grace", MemberState.ERASING: "erasing"}.get(state)
        if request is None and act is Act.APPROVE_ERASURE:
            request = "open"
        if request is None:
            self.request_id = NOBODY
            return
        self.request_id = uuid7()
        decided = request != "open"
        await self.world.owner.execute(
            "INSERT INTO erasure_request (company_id, request_id, driver_id, state,"
            " requested_by_role, requested_at, decided_by_role, decided_at, grace_until,"
            " account_before)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self.world.company_id,
            self.request_id,
            self.driver_id,
            request,
            ROLES.get(by, "driver"),
            NOW - HOUR,
            "dispatcher" if decided else None,
            NOW - HOUR if decided else None,
            (NOW if act is Act.BEGIN_ERASING else NOW + HOUR) if decided else None,
            "active" if decided else None,
        )

    async def state(self) -> str | None:
        found: str | None = await self.world.owner.fetchval(
            "SELECT state FROM member WHERE member_id = $1", self.key[1]
        )
        return found

    async def digest(self) -> dict[str, list[str]]:
        """Return all that acts on accounts change."""
        found = {}
        for table in TABLES:
            rows = await self.world.owner.fetch(f"SELECT t::text AS told FROM {table} t ORDER BY 1")  # noqa: S608
            found[table] = [row["told"] for row in rows]
        return found


def call(
    by: By, method: str, path: str, body: Callable[[Stage], Any] = lambda _stage: None
) -> Door:
    async def door(stage: Stage) -> bool:
        at = path.format(driver=stage.key[1], request=stage.request_id)
        headers = bearer(stage.tokens[by])
        answer = await stage.client.request(method, at, headers=headers, json=body(stage))
        assert answer.status < 500, await answer.text()
        return answer.status < 300

    return door


def done(work: Callable[[Stage, db.Connection], Awaitable[object]]) -> Door:
    """Do it as a command or a job does, inside the driver's closed gate."""

    async def door(stage: Stage) -> bool:
        try:
            async with gate.stopping(stage.world.pool, *stage.key, now=NOW) as conn:
                await work(stage, conn)
        except DomainError:
            return False
        return True

    return door


async def _order(stage: Stage, conn: db.Connection) -> None:
    legal = BlockReason.LEGAL_ORDER
    await consent.block(conn, *stage.key, legal, by=OPERATOR, order="12-3", now=NOW)


async def _lift(stage: Stage, conn: db.Connection) -> None:
    await erasure.unblock(conn, *stage.key, by=OPERATOR, now=NOW)


async def _off_board_again(stage: Stage) -> bool:
    """Do it once more after a backup was restored, for whom that is still to be done."""

    async def again(stage: Stage, conn: db.Connection) -> None:
        await restoring.take_away(conn, *stage.key, {LedgerAct.MEMBER_OFFBOARDED}, now=NOW)

    before = await stage.state()
    return await done(again)(stage) and await stage.state() != before


async def _when_idle(stage: Stage) -> bool:
    return await _looked_after(stage, other="invited")


async def _when_unverified(stage: Stage) -> bool:
    return await _looked_after(stage, other="active")


async def _looked_after(stage: Stage, *, other: str) -> bool:
    """Let the daily job come by, for an account that was warned of long ago.

    It does two acts. Of ``other`` it does the one that is not tried here.
    """
    owner = stage.world.owner
    if stage.there and await stage.state() == other:
        return False
    before = await stage.digest()
    await owner.execute("UPDATE account_standing SET warned_at = $1", NOW - timedelta(days=20))
    await owner.execute("DELETE FROM session WHERE member_id = $1", stage.driver_id)
    done = await idle.look_after(stage.world.pool, stage.world.company_id, NOW)
    if stage.key[1] in done:
        return True
    await owner.execute("UPDATE account_standing SET warned_at = NULL")
    after = await stage.digest()
    assert {**after, "session": None} == {**before, "session": None}
    return False


async def _join(stage: Stage) -> bool:
    async with db.tenant(stage.world.pool, stage.world.company_id) as conn:
        invitation = await acts.invite(conn, *stage.key, NOW) if stage.there else None
    code = "ji_none" if invitation is None else invitation.code
    before = await stage.digest()
    body = {"code": code, "password": "another good password"}
    answer = await stage.client.post("/v1/invitations/accept", json=body)
    assert answer.status < 500
    if answer.status >= 300:
        assert await stage.digest() == before
        await stage.world.owner.execute("DELETE FROM invitation")
    return answer.status < 300


async def _close_company(stage: Stage) -> bool:
    """Let the day come on which the company closes; told by what became of this driver alone."""
    company_id = stage.world.company_id
    if not stage.there:
        return False
    owner = stage.world.owner
    waiting = "SELECT answer_by FROM erasure_request"
    # Who never joined has no grace to use, and is erased at once.
    await owner.execute("UPDATE account_standing SET joined_at = $1", NOW - HOUR)
    before = await stage.state(), await owner.fetchval(waiting)
    try:
        async with gate.stopping(stage.world.pool, *stage.key, now=NOW) as conn:
            asked = await asking.ask(conn, company_id, stage.driver_id, now=NOW)
    except DomainError:
        return False
    assert asked is not None or (await stage.state(), await owner.fetchval(waiting)) == before
    return asked is not None


async def _begin(stage: Stage) -> bool:
    def crash(_place: str) -> None:
        raise Crash

    before = await stage.state()
    try:
        company = stage.world.company_id
        await saga.run(
            stage.world.pool, stage.world.vault, company, stage.request_id, NOW, failpoint=crash
        )
    except DomainError:
        return False
    except Crash:  # of one that had begun before, nothing more was done
        return await stage.state() != before
    return True


def _newcomer(stage: Stage) -> dict[str, object]:
    """Return somebody new; or, where they are a member already, them once more."""
    return new_driver() if stage.there else new_driver(phone="+7 701 765 43 21")


_STAFF_CALLS: Final[Mapping[Act, tuple[str, Callable[[Stage], Any]]]] = {
    Act.INVITE: ("/v1/drivers", _newcomer),
    Act.INVITE_AGAIN: ("/v1/drivers/{driver}/invitation", lambda _stage: None),
    Act.BLOCK: ("/v1/drivers/{driver}/block", lambda _stage: {"reason_code": "other"}),
    Act.UNBLOCK: ("/v1/drivers/{driver}/unblock", lambda _stage: None),
    Act.LOSE_PHONE: ("/v1/drivers/{driver}/lost-phone", lambda _stage: None),
    Act.OFFBOARD: ("/v1/drivers/{driver}/offboard", lambda _stage: None),
    Act.TAKE_BACK: ("/v1/drivers/{driver}/return", lambda _stage: None),
    Act.ASK_ERASURE: ("/v1/erasure-requests", lambda stage: {"driver_id": str(stage.key[1])}),
    Act.APPROVE_ERASURE: (
        "/v1/erasure-requests/{request}/decision",
        lambda _stage: {"outcome": "approve"},
    ),
    Act.CALL_OFF_ERASURE: ("/v1/erasure-requests/{request}/cancel", lambda _stage: None),
}
_OWN_CALLS: Final[Mapping[Act, tuple[str, Callable[[Stage], Any]]]] = {
    Act.BLOCK: ("/v1/me/disable", lambda _stage: None),
    Act.UNBLOCK: ("/v1/me/enable", lambda _stage: None),
    Act.LOSE_PHONE: ("/v1/me/lost-phone", lambda _stage: {"password": PASSWORD}),
}


DOORS: Final[Mapping[tuple[Act, By], Door]] = {
    **{
        (act, by): call(by, "POST", *(_OWN_CALLS if own else _STAFF_CALLS)[act])
        for by in CALLERS
        for act in _STAFF_CALLS
        for own in [by is By.PERSON and act in _OWN_CALLS]
    },
    (Act.JOIN, By.PERSON): _join,
    (Act.BLOCK, By.OPERATOR): done(_order),
    (Act.UNBLOCK, By.OPERATOR): done(_lift),
    (Act.OFFBOARD, By.OPERATOR): _off_board_again,
    (Act.BLOCK, By.SERVER): _when_idle,
    (Act.OFFBOARD, By.SERVER): _when_unverified,
    (Act.CLOSE_COMPANY, By.SERVER): _close_company,
    (Act.BEGIN_ERASING, By.SERVER): _begin,
}
