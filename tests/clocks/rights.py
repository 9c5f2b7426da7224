"""Clocks of a person's rights: consents, requests, erasure, holds, disclosures, incidents."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.consent import expiry
from server.consent.model import VALID_FOR
from server.credentials.model import Role
from server.idle.model import UNVERIFIED_AFTER
from server.kit import db
from server.kit.wire import rfc3339
from server.policies.model import AddedItem, ChangeClass
from server.standing.model import READS_FOR
from tests.clocks.walk import Stage, Staged, Walk, asking
from tests.consent.acts import states
from tests.controllers.acts import DUE as TRANSFERRED
from tests.controllers.acts import agreeing, announced
from tests.disclosures.acts import released
from tests.erasure.calls import ask, decide, set_grace
from tests.erasure_decisions.test_clock import ANSWER_BY
from tests.http import bearer
from tests.incidents.acts import reported
from tests.policies.acts import publish
from tests.world import CONSENTED, NOW, SESSION_LASTS, SHIFT_STARTED

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
OVER: Final = CONSENTED + VALID_FOR
EARLY, LATE = sorted(expiry.TOLD_BEFORE, reverse=True)
USED: Final = CONSENTED + SESSION_LASTS
"""When the driver used the service last: until then they were logged in."""
NOTICES: Final = "SELECT count(*) FROM notice WHERE kind = $1 AND member_id = $2"
REQUEST: Final = "SELECT state FROM erasure_request"


async def end_shift(walk: Walk) -> None:
    """Let the shift end that nobody ends: what is told of that is a clock of its own."""
    await walk.run("end_forgotten_shifts", SHIFT_STARTED + DAY)
    walk.clock.at = NOW


# ---- consents and shifts


def expiring(before: timedelta, told_before: int) -> Stage:
    async def stage(walk: Walk) -> Staged:
        for _ in range(told_before):
            await walk.run("tell_of_expiring_consents", OVER - EARLY)
        return Staged(
            due=OVER - before,
            seen=asking(walk, NOTICES, "consent_expiring", walk.driver_id),
            before=told_before,
            after=told_before + 1,
        )

    return stage


async def expired(walk: Walk) -> Staged:
    await end_shift(walk)

    async def seen() -> object:
        return "expired" in await states(walk.world, walk.world.driver)

    return Staged(due=OVER, seen=seen, before=False, after=True)


async def shift_reminded(walk: Walk) -> Staged:
    return Staged(
        due=SHIFT_STARTED + 14 * HOUR - HOUR / 2,
        seen=asking(walk, NOTICES, "shift_reminder", walk.driver_id),
        before=0,
        after=1,
    )


async def shift_over(walk: Walk) -> Staged:
    over = "SELECT ended_at IS NOT NULL FROM shift WHERE driver_id = $1"
    seen = asking(walk, over, walk.driver_id)
    return Staged(due=SHIFT_STARTED + 14 * HOUR, seen=seen, before=False, after=True)


# ---- policies and the controller


async def edition(walk: Walk) -> Staged:
    made = await publish(
        walk.world, ChangeClass.ADDS_PURPOSE, purpose=AddedItem.PLAN_FACT, now=CONSENTED + HOUR
    )

    async def seen() -> object:
        return "superseded" in await states(walk.world, walk.world.driver)

    return Staged(due=made.effective_at, seen=seen, before=False, after=True)


async def transferred(walk: Walk) -> Staged:
    await end_shift(walk)
    change = await announced(walk.world)
    await agreeing(walk.world, change)
    seen = asking(walk, "SELECT name FROM company")
    return Staged(due=TRANSFERRED, seen=seen, before="Aral Freight", after="Turan Logistics")


# ---- erasure and holds


def open_request(due: datetime, earlier: Sequence[datetime], *, kind: str, to: str) -> Stage:
    """Stage a request that the driver made, with the job having run at these times."""

    async def stage(walk: Walk) -> Staged:
        await set_grace(walk.world, 3600)
        await ask(walk.client, walk.people.driver, walk.world.driver)
        for at in earlier:
            await walk.run("decide_by_clock", at)
        member = {"dispatcher": walk.people.dispatcher_id, "main_user": walk.people.boss_id}[to]
        before = await walk.ask(NOTICES, kind, member)
        seen = asking(walk, NOTICES, kind, member)
        return Staged(due=due, seen=seen, before=before, after=before + 1)

    return stage


async def silent(walk: Walk) -> Staged:
    await set_grace(walk.world, 3600)
    await ask(walk.client, walk.people.driver, walk.world.driver)
    return Staged(due=ANSWER_BY, seen=asking(walk, REQUEST), before="open", after="grace")


async def refused(walk: Walk) -> Staged:
    await set_grace(walk.world, 3600)
    made = await ask(walk.client, walk.people.driver, walk.world.driver)
    until = NOW + 20 * DAY
    boss = walk.people.boss
    status, told = await decide(
        walk.client, boss, made, "refuse", "legal_claim", "track", until=until
    )
    assert status == 200, told
    return Staged(due=until, seen=asking(walk, REQUEST), before="refused", after="grace")


async def in_grace(walk: Walk) -> Staged:
    await set_grace(walk.world, 3600)
    await ask(walk.client, walk.people.dispatcher, walk.world.driver)
    rows = "SELECT count(*) FROM member WHERE member_id = $1"
    seen = asking(walk, rows, walk.driver_id)
    return Staged(due=NOW + HOUR, seen=seen, before=1, after=0)


async def held(walk: Walk) -> datetime:
    """Let a main user place a hold; return when it ends."""
    until = NOW + 30 * DAY
    body = {
        "driver_id": str(walk.driver_id),
        "category": "track",
        "ground": "legal_claim",
        "until": rfc3339(until),
        "evidence_ref": "Case 17 of the city court",
    }
    headers = bearer(walk.people.boss)
    async with walk.client.post("/v1/holds", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
    return until


async def hold_ending(walk: Walk) -> Staged:
    until = await held(walk)
    seen = asking(walk, NOTICES, "hold_ending", walk.people.boss_id)
    return Staged(due=until - 7 * DAY, seen=seen, before=0, after=1)


async def hold_ended(walk: Walk) -> Staged:
    until = await held(walk)
    seen = asking(walk, "SELECT state FROM hold")
    return Staged(due=until, seen=seen, before="placed", after="ended")


# ---- accounts


def unused(due: datetime, earlier: Sequence[datetime], *, kind: str) -> Stage:
    async def stage(walk: Walk) -> Staged:
        await end_shift(walk)
        await walk.ask("UPDATE company SET idle_days = 90 RETURNING true")
        for at in earlier:
            await walk.run("look_after_unused_accounts", at)
        before = await walk.ask(NOTICES, kind, walk.driver_id)
        seen = asking(walk, NOTICES, kind, walk.driver_id)
        return Staged(due=due, seen=seen, before=before, after=before + 1)

    return stage


async def unverified(walk: Walk) -> Staged:
    world = walk.world
    new = NewMember(name="Newcomer", role=Role.DRIVER, locale=Locale.KK, phone="+77011234567")
    async with db.tenant(world.pool, world.company_id) as conn:
        added, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)
    member_id = added.member_id
    due = NOW + UNVERIFIED_AFTER
    await walk.run("look_after_unused_accounts", due - 7 * DAY)
    seen = asking(walk, "SELECT state FROM member WHERE member_id = $1", member_id)
    return Staged(due=due, seen=seen, before="invited", after="offboarded")


async def reading(walk: Walk) -> Staged:
    world, driver_id = walk.world, walk.driver_id
    await world.owner.execute(
        "UPDATE member SET state = 'offboarded' WHERE member_id = $1", driver_id
    )
    await world.owner.execute(
        "INSERT INTO account_standing (company_id, member_id, reason, acted_by, since, reads_until)"
        " VALUES ($1, $2, 'left', 'dispatcher', $3, $4) ON CONFLICT (company_id, member_id)"
        " DO UPDATE SET reason = 'left', acted_by = 'dispatcher', since = $3, reads_until = $4",
        world.company_id,
        driver_id,
        NOW,
        NOW + READS_FOR,
    )
    sessions = "SELECT count(*) FROM session WHERE member_id = $1"
    seen = asking(walk, sessions, driver_id)
    return Staged(due=NOW + READS_FOR, seen=seen, before=1, after=0)


# ---- registers and requests past the API


async def unsealed(walk: Walk) -> Staged:
    until = NOW + 10 * DAY
    await released(walk.client, walk.people, sealed_until=rfc3339(until))
    seen = asking(walk, "SELECT told_at FROM disclosure")
    return Staged(due=until, seen=seen, before=None, after=until)


def incident(due: datetime, column: str, *earlier: datetime) -> Stage:
    async def stage(walk: Walk) -> Staged:
        await reported(walk.client, walk.people.driver)
        for at in earlier:
            await walk.run("watch_incidents", at)
        seen = asking(walk, f"SELECT {column} FROM incident")  # noqa: S608 - a column of ours
        return Staged(due=due, seen=seen, before=await seen(), after=due)

    return stage


def person_request(column: str, before: timedelta) -> Stage:
    async def stage(walk: Walk) -> Staged:
        body = {
            "driver_id": str(walk.driver_id),
            "kind": "access",
            "channel": "letter",
            "received_at": rfc3339(NOW - 2 * HOUR),
            "text": "Please send me everything you keep of me.",
            "evidence": "Red binder, 17",
        }
        headers = bearer(walk.people.dispatcher)
        async with walk.client.post("/v1/person-requests", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        answer_by: datetime = await walk.ask("SELECT answer_by FROM person_request")
        seen = asking(walk, f"SELECT {column} FROM person_request")  # noqa: S608 - a column of ours
        due = answer_by - before
        return Staged(due=due, seen=seen, before=None, after=due)

    return stage
