"""The soak's comparison finds what is lost and what is doubled."""

import time

from bench.fleet import ON_SHIFT
from bench.kept import check
from bench.loads import loading
from bench.openload import OpenPlan
from bench.phones import Step
from server.kit.ids import uuid7
from tests.bench.conftest import Installation

SIZE = 5
UPLOADS = 12
"""Few: on a busy machine none may be refused."""


async def test_control_a_chunk_that_is_gone_is_lost_and_one_more_is_unasked(
    installation: Installation,
) -> None:
    at, drivers = installation.at, installation.fleet
    await at.owner.execute("DELETE FROM chunk")
    plan = OpenPlan(
        port=installation.served.port,
        tokens=[one.token for one in drivers],
        steps=(Step(UPLOADS, 1),),
        size=SIZE,
        step_s=2,
        began_ms=round(1000 * (time.time() - ON_SHIFT.total_seconds() + 3600)),
        span_ms=2000 * SIZE,
        sample_every_s=1,
    )
    async with loading(plan) as load:
        whole = await load.whole()

    sound = await check(at, plan, drivers, whole["missing"], readers=1)
    await at.owner.execute(
        "DELETE FROM chunk WHERE ctid = (SELECT ctid FROM chunk WHERE driver_id = $1 LIMIT 1)",
        drivers[0].driver_id,
    )
    await at.owner.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at, count,"
        " key_id, blob)"
        " SELECT company_id, driver_id, last_at, $2, first_at, stored_at, count, key_id, blob"
        "   FROM chunk WHERE driver_id = $1 LIMIT 1",
        drivers[1].driver_id,
        uuid7(),
    )
    broken = await check(at, plan, drivers, whole["missing"], readers=1)

    assert (sound.acknowledged, sound.lost, sound.unasked) == (UPLOADS * SIZE, 0, 0)
    assert (sound.read, sound.read_lost, sound.read_doubled) == (UPLOADS // 4 * SIZE, 0, 0)
    assert (broken.lost, broken.unasked, broken.read_lost) == (SIZE, SIZE, SIZE)
