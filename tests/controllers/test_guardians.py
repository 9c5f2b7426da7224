"""What a driver is told when a guardian's consent ends with the company it was given to."""

from datetime import timedelta
from typing import Any

from aiohttp import ClientSession

from server.accounts.model import Locale
from server.controllers import transfer
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import NoticeKind
from server.notices.writing import Setting, write
from tests.consent.people import new_driver
from tests.consents import body
from tests.controllers.acts import DUE, TO, agreement, announce, as_driver, gate_of, states
from tests.guardians import minors
from tests.http import Clock
from tests.told import told
from tests.world import NOW, Driver, World

OF_AGE = NOW + timedelta(days=40)
"""In the year after the one in which they come of age."""
LATER = OF_AGE + timedelta(days=30)
VOID = "are no longer valid"
LAPSED = "guardian_consent_lapsed"


async def with_guardian(world: World) -> Driver:
    young = await new_driver(world)
    await minors.state(world, young.member_id, minors.MINOR)
    await minors.agree(world, young.member_id)
    return young


async def told_of(world: World, driver: Driver) -> dict[str, dict[str, Any]]:
    """Return the values of each notice of the change, by its kind."""
    kinds = {LAPSED, "guardian_consent_revoked", "controller_changed"}
    return {kind: facts for kind, facts in await told(world, driver.member_id) if kind in kinds}


def text_of(kind: str, facts: dict[str, Any]) -> str:
    setting = Setting(language=Locale.EN, company=TO.name, time_zone="UTC", names={})
    return write(NoticeKind(kind), facts, setting).body


async def test_whoever_came_of_age_and_gave_alone_is_told_nothing_of_theirs_has_ended(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    grown = await with_guardian(world)
    headers = await as_driver(world, grown)
    clock.at = OF_AGE
    for item in ("location", "plan_fact"):
        given = await client.post("/v1/me/consents", json=body(item), headers=headers)
        assert given.status == 201
    _, change = await announce(client, boss, effective_at=rfc3339(LATER))
    await agreement(client, headers, change["change_id"])
    await transfer.run_due(world.pool, world.company_id, LATER)

    assert await states(world, grown) == {"location": "given", "plan_fact": "given"}
    assert (await gate_of(world, grown)).plan_fact_since == OF_AGE
    found = await told_of(world, grown)
    assert found.keys() == {LAPSED, "controller_changed"}
    assert found[LAPSED] == {"ended_at": rfc3339(LATER)}
    assert set(found["controller_changed"]["kept"].split(",")) == {"location", "plan_fact"}
    assert VOID not in text_of(LAPSED, found[LAPSED])


async def test_a_minor_who_had_given_nothing_is_told_of_the_guardian_alone(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    young = await with_guardian(world)
    await announce(client, boss)
    clock.at = DUE
    await transfer.run_due(world.pool, world.company_id, DUE)

    found = await told_of(world, young)
    assert found == {LAPSED: {"ended_at": rfc3339(DUE)}}
    assert VOID not in text_of(LAPSED, found[LAPSED])


async def test_control_a_guardian_s_consent_that_is_revoked_voids_what_the_minor_gave(
    world: World, client: ClientSession
) -> None:
    young = await with_guardian(world)
    headers = await as_driver(world, young)
    given = await client.post("/v1/me/consents", json=body("location"), headers=headers)
    assert given.status == 201
    await minors.revoke(world, young.member_id)

    assert await states(world, young) == {"location": "invalidated"}
    found = await told_of(world, young)
    assert found.keys() == {"guardian_consent_revoked"}
    assert VOID in text_of(*found.popitem())
