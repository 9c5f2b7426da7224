"""Uploads that come to nothing: they cost little, and hold up neither people nor other phones."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from server.credentials.model import NotAuthenticated
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db, tokens
from server.kit.db import Connection
from server.uploads import service, store
from server.uploads.acceptance import count_by_reason, refuse_all
from server.uploads.beliefs import UNKNOWN_S_MAX, Beliefs
from server.uploads.model import Refusal, RefusalReason
from server.uploads.service import RefusalCounts
from server.uploads.web import PARSE_ASIDE_BYTES_MIN
from server.uploads.wire import parse_upload
from tests.http import bearer
from tests.uploading import Api, positions
from tests.uploads.test_upload import give, refusal_counts, stop
from tests.world import NOW, World

UPLOADERS: Final = 32
FLOODED_MIN: Final = 4 * UPLOADERS
"""Uploads answered before the withdrawal begins."""
OVERTAKING_MAX: Final = 4 * UPLOADERS
"""Each uploader has one upload under way when the act begins, and may begin one more before the
act has said so."""
OVERTAKING_TRIED: Final = 10 * UPLOADERS
CONTROL_TRIES: Final = 8
LOCK_MS_MAX: Final = 200
COUNTED: Final = {"too_old": 1}
LONG_AGO: Final = NOW - timedelta(days=5)


async def count_one(conn: Connection, world: World) -> None:
    await store.count_refusals(conn, world.company_id, world.driver.member_id, NOW.date(), COUNTED)


async def share_the_gate(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Hold the gate's row as the counting statement must not."""
    await conn.execute(
        "SELECT FROM gate WHERE company_id = $1 AND driver_id = $2 FOR SHARE",
        company_id,
        driver_id,
    )


async def change_the_gate(world: World) -> None:
    """Lock the gate and change it, as every act that stops recording does."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'")
        driver = (world.company_id, world.driver.member_id)
        await gates.lock(conn, *driver)
        await gates.set_consent(conn, *driver, GateItem.LOCATION, None)


async def test_no_change_of_the_gate_waits_for_a_counter(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as counting:
        await count_one(counting, world)
        await change_the_gate(world)


async def test_control_a_share_lock_of_the_gate_would_hold_its_change_up(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as counting:
        await share_the_gate(counting, world.company_id, world.driver.member_id)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await change_the_gate(world)


async def test_the_deletion_of_the_gate_waits_for_a_counter_and_none_comes_after(
    world: World,
) -> None:
    driver = (world.company_id, world.driver.member_id)

    async def delete() -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await gates.erase(conn, *driver)

    async with db.tenant(world.pool, world.company_id) as counting:
        await count_one(counting, world)
        deletion = asyncio.create_task(delete())
        done, _ = await asyncio.wait([deletion], timeout=LOCK_MS_MAX / 1000)
        assert not done
    await deletion
    # What was counted meanwhile is found by who looks only now; nothing more comes.
    async with db.tenant(world.pool, world.company_id) as conn:
        assert await service.erase(conn, *driver) == 1
        await count_one(conn, world)
        assert await service.erase(conn, *driver) == 0


@dataclass(slots=True)
class Flood:
    answered: list[int] = field(default_factory=list)
    overtook: int = 0
    """Uploads answered after the withdrawal had begun and before it was answered."""


async def withdraw_in_a_flood(api: Api) -> Flood:
    """Withdraw while a phone sends what is refused; the flood ends with the act, or as too much."""
    flood, flooded, began, over = Flood(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def upload() -> None:
        while not over.is_set():
            status, _ = await api.post({"positions": positions(1, until=LONG_AGO)})
            flood.answered.append(status)
            if len(flood.answered) >= FLOODED_MIN:
                flooded.set()
            flood.overtook += began.is_set() and not over.is_set()
            if flood.overtook >= OVERTAKING_TRIED:
                over.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(UPLOADERS):
            group.create_task(upload())
        await flooded.wait()
        began.set()
        await stop(api.world, GateItem.LOCATION)
        over.set()
    return flood


async def test_a_withdrawal_does_not_wait_for_a_phone_that_floods_with_refused_uploads(
    api: Api,
) -> None:
    flood = await withdraw_in_a_flood(api)

    assert flood.overtook <= OVERTAKING_MAX
    # A phone that comes while the gate is closing may be told to come again.
    assert set(flood.answered) <= {200, 503}
    assert sum((await refusal_counts(api)).values()) == flood.answered.count(200)


Remove: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def the_weak_lock(patch: pytest.MonkeyPatch) -> None:
    """Count under a lock that a change of the gate waits for."""
    count = store.count_refusals

    async def count_sharing(
        conn: Connection, company_id: UUID, driver_id: UUID, day: date, counts: dict[str, int]
    ) -> None:
        await share_the_gate(conn, company_id, driver_id)
        await count(conn, company_id, driver_id, day, counts)

    patch.setattr(store, "count_refusals", count_sharing)


def the_turns(patch: pytest.MonkeyPatch) -> None:
    """Count the refusals of each upload by a statement of its own."""

    async def add(
        self: RefusalCounts,
        company_id: UUID,
        driver_id: UUID,
        day: date,
        refused: Sequence[Refusal],
    ) -> None:
        counts = {reason.value: count for reason, count in count_by_reason(refused).items()}
        await self._write((company_id, driver_id, day), Counter(counts))

    patch.setattr(RefusalCounts, "add", add)


def the_question(patch: pytest.MonkeyPatch) -> None:
    """Refuse on a belief, without asking the gate, which would tell that it is being closed."""
    patch.setattr(service, "_is_unseen", lambda _sorted_out: False)


GUARDS: Final[tuple[Remove, ...]] = (the_weak_lock, the_turns, the_question)


@pytest.mark.parametrize("left", GUARDS)
async def test_any_of_the_guards_alone_lets_the_withdrawal_through(
    api: Api, left: Remove, monkeypatch: pytest.MonkeyPatch
) -> None:
    for remove in GUARDS:
        if remove is not left:
            remove(monkeypatch)

    assert (await withdraw_in_a_flood(api)).overtook < OVERTAKING_TRIED


async def test_control_without_the_guards_the_flood_overtakes_the_withdrawal(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for remove in GUARDS:
        remove(monkeypatch)

    # A gap between two uploads may let an act through: the fault is that nothing makes one.
    overtook = 0
    for _ in range(CONTROL_TRIES):
        overtook = max(overtook, (await withdraw_in_a_flood(api)).overtook)
        if overtook >= OVERTAKING_TRIED:
            break
        await give(api.world, GateItem.LOCATION, at=NOW)

    assert overtook >= OVERTAKING_TRIED


async def test_refusals_that_come_together_are_all_counted(world: World) -> None:
    counts = RefusalCounts(world.pool)
    some = parse_upload(json.dumps({"positions": positions(3)}).encode()).positions
    refused = refuse_all(some, RefusalReason.TOO_OLD).refused

    async with asyncio.TaskGroup() as group:
        for _ in range(UPLOADERS):
            group.create_task(
                counts.add(world.company_id, world.driver.member_id, NOW.date(), refused)
            )

    assert await world.owner.fetchval("SELECT sum(count) FROM refusal_count") == 3 * UPLOADERS


async def test_the_body_of_a_forged_token_is_not_read(api: Api) -> None:
    forged, _ = tokens.mint("jd", api.world.company_id)

    async def post(token: str) -> int:
        headers = bearer(token) | {
            "Content-Type": "application/json",
            "Content-Encoding": "zstd",
        }
        async with api.client.post("/v1/positions", data=b"broken", headers=headers) as answer:
            return answer.status

    assert await post(forged) == 401
    assert await post(api.world.driver.device_token) == 400


async def test_an_unknown_token_is_looked_up_once_in_some_seconds(world: World) -> None:
    clock_s = 0.0
    beliefs = Beliefs(world.pool, monotonic=lambda: clock_s)
    text, digest = tokens.mint("jd", world.company_id)
    token = tokens.parse(text)
    assert token is not None
    with pytest.raises(NotAuthenticated):
        await beliefs.load(token, NOW)
    # Nothing but a look-up can tell the difference.
    await world.owner.execute("UPDATE device SET token_hash = $1", digest)

    with pytest.raises(NotAuthenticated):
        await beliefs.load(token, NOW)
    clock_s = UNKNOWN_S_MAX + 1
    belief = await beliefs.load(token, NOW)

    assert belief.driver_id == world.driver.member_id


async def test_only_so_many_unknown_tokens_are_remembered(world: World) -> None:
    beliefs = Beliefs(world.pool, unknown_max=1)
    texts = [tokens.mint("jd", world.company_id) for _ in range(2)]
    for text, _ in texts:
        token = tokens.parse(text)
        assert token is not None
        with pytest.raises(NotAuthenticated):
            await beliefs.load(token, NOW)
    first, digest = texts[0]
    await world.owner.execute("UPDATE device SET token_hash = $1", digest)
    token = tokens.parse(first)
    assert token is not None

    belief = await beliefs.load(token, NOW)

    assert belief.driver_id == world.driver.member_id


@pytest.mark.parametrize("until", [LONG_AGO, NOW + timedelta(days=1)])
async def test_a_revoked_device_is_out_even_if_nothing_of_its_upload_could_be_stored(
    api: Api, until: datetime
) -> None:
    await api.upload(positions(1))
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.bump_credentials(conn, api.world.company_id, api.world.driver.member_id)
        await conn.execute("UPDATE device SET revoked_at = $1", NOW)

    status, answer = await api.post({"positions": positions(1, until=until)})

    assert (status, answer["code"]) == (401, "not-authenticated")


async def test_a_large_body_is_read_like_a_small_one(api: Api) -> None:
    sent = positions(1_500, step_s=1)
    assert len(json.dumps({"positions": sent})) > PARSE_ASIDE_BYTES_MIN

    answer = await api.upload(sent)
    status, broken = await api.post({"positions": [*sent, {"lat": 91}]})

    assert answer["accepted"] == 1_500
    assert (status, broken["code"]) == (422, "fields-invalid")
