"""POST /v1/positions: what is kept, what is refused, and what the phone is told."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.gate import service as gates
from server.gate.model import GateItem
from server.kek.key_file import load
from server.kit import db
from server.kit.db import ROLE_KEYS, pool
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.tracking import service
from server.tracking.model import TrackPurpose
from server.uploads import web as uploads
from server.vault.opening import open_vault
from tests import consents
from tests.conftest import Databases
from tests.endpoints import TRACKING
from tests.http import Clock, serve
from tests.uploading import Api, positions
from tests.world import NOW, SHIFT_STARTED, Driver, World, add_driver

ALL_WELL = {"refused": [], "consent": "given", "collect": True, "purge": False}


async def stop(world: World, item: GateItem, *, at: datetime = NOW) -> None:
    driver = (world.company_id, world.driver.member_id)
    async with gates.stopping(world.pool, *driver, now=at) as conn:
        await consents.withdraw(conn, *driver, item, now=at)


async def give(world: World, item: GateItem, *, at: datetime) -> None:
    driver = (world.company_id, world.driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await consents.give(conn, *driver, item, now=at)


async def stored_times(api: Api, driver: Driver | None = None) -> list[str]:
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        track = await service.track(
            conn,
            api.world.vault,
            api.world.company_id,
            (driver or api.world.driver).member_id,
            NOW - timedelta(days=5),
            NOW + timedelta(days=5),
            purpose=TrackPurpose.SUBJECT_ACCESS,
            now=NOW,
        )
    return [rfc3339(datetime.fromtimestamp(s, tz=NOW.tzinfo)) for s in track.time_s]


async def refusal_counts(api: Api) -> dict[str, int]:
    rows = await api.world.owner.fetch("SELECT reason, count FROM refusal_count")
    return {row["reason"]: row["count"] for row in rows}


@pytest.mark.parametrize("count", [1, 10, 16, 17, 60])
async def test_positions_are_stored_and_answered(api: Api, count: int) -> None:
    sent = positions(count)

    answer = await api.upload(sent)

    assert answer == {"accepted": count, "duplicate": 0, **ALL_WELL}
    assert await stored_times(api) == [one["recorded_at"] for one in sent]


async def test_the_same_batch_again_is_one_row_and_counted_as_duplicate(api: Api) -> None:
    await api.upload(positions(5), batch_id="a")

    again = await api.upload(positions(5), batch_id="a")

    assert (again["accepted"], again["duplicate"]) == (0, 5)
    assert await api.rows() == 1


async def test_the_same_positions_in_another_batch_are_read_once(api: Api) -> None:
    await api.upload(positions(5), batch_id="a")

    again = await api.upload(positions(5), batch_id="b")

    assert (again["accepted"], again["duplicate"]) == (5, 0)
    assert len(await stored_times(api)) == 5


async def test_a_batch_of_which_more_may_be_kept_now_is_not_taken_for_a_duplicate(
    api: Api,
) -> None:
    sent = positions(5, until=NOW + timedelta(seconds=60), step_s=60)
    first = await api.upload(sent, batch_id="a", sent_at=rfc3339(api.clock.at))
    api.clock.at = NOW + timedelta(seconds=60)

    second = await api.upload(sent, batch_id="a", sent_at=rfc3339(api.clock.at))

    assert [one["reason"] for one in first["refused"]] == ["in_future"]
    assert (second["accepted"], second["refused"]) == (5, [])
    assert len(await stored_times(api)) == 5


async def test_positions_out_of_order_are_kept_in_order(api: Api) -> None:
    sent = positions(20)

    await api.upload(sent[10:] + sent[:10])

    assert await stored_times(api) == [one["recorded_at"] for one in sent]


async def test_columns_say_the_same_as_objects(api: Api) -> None:
    sent = positions(20, accuracy_m=4.5, speed_mps=None, source="gps", mock=False)
    columns: dict[str, list[Any]] = {
        name: [one[name] for one in sent] for name in sent[0] if name != "recorded_at"
    }
    columns["recorded_at_ms"] = [
        round(datetime.fromisoformat(one["recorded_at"]).timestamp() * 1000) for one in sent
    ]

    await api.upload(sent)
    status, answer = await api.post({"columns": columns})

    assert status == 200
    assert answer == {"accepted": 0, "duplicate": 20, **ALL_WELL}


async def test_an_upload_across_the_end_of_a_month_is_sealed_under_two_keys(api: Api) -> None:
    api.clock.at = datetime(2026, 12, 1, 0, 1, tzinfo=NOW.tzinfo)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        driver = (api.world.company_id, api.world.driver.member_id)
        await gates.close_window(conn, *driver, at=NOW)
        await gates.open_window(
            conn,
            *driver,
            at=api.clock.at - timedelta(hours=1),
            expires_at=api.clock.at + timedelta(hours=5),
        )

    answer = await api.upload(positions(12, until=api.clock.at))

    rows = await api.world.owner.fetch("SELECT count, key_id FROM chunk ORDER BY last_at")
    assert answer["accepted"] == 12
    assert [row["count"] for row in rows] == [5, 7]
    assert rows[0]["key_id"] != rows[1]["key_id"]


async def test_the_offset_of_the_clock_is_judged_by_sent_at(api: Api) -> None:
    right = await api.upload(positions(2), sent_at=rfc3339(NOW - timedelta(seconds=3)))
    wrong = await api.upload(positions(2), sent_at=rfc3339(NOW - timedelta(seconds=121)))

    assert right["accepted"] == 2
    assert wrong["accepted"] == 0
    assert {one["reason"] for one in wrong["refused"]} == {"clock_wrong"}


async def test_refused_positions_are_counted_and_forgotten(api: Api) -> None:
    sent = positions(3) + positions(2, until=SHIFT_STARTED)

    answer = await api.upload(sent)
    await api.upload(positions(1, until=SHIFT_STARTED - timedelta(seconds=1)))

    # The shift's first instant is inside its window.
    assert [(one["index"], one["reason"]) for one in answer["refused"]] == [(3, "outside_window")]
    assert await refusal_counts(api) == {"outside_window": 2}
    assert len(await stored_times(api)) == 4


@pytest.mark.proves("gocargo:what-we-collect-4-local-storage")
async def test_after_a_withdrawal_nothing_is_kept_and_the_phone_is_told_to_purge(
    api: Api,
) -> None:
    await api.upload(positions(2))
    await stop(api.world, GateItem.LOCATION)

    answer = await api.upload(positions(3, until=NOW - timedelta(minutes=5)))

    assert (answer["accepted"], answer["collect"], answer["purge"]) == (0, False, True)
    assert answer["consent"] == "withdrawn"
    assert {one["reason"] for one in answer["refused"]} == {"no_consent"}
    assert await api.rows() == 1


@pytest.mark.proves("gocargo:what-we-collect-4-local-storage")
async def test_what_was_recorded_before_the_present_consent_stays_refused(api: Api) -> None:
    await stop(api.world, GateItem.LOCATION, at=NOW - timedelta(minutes=30))
    await give(api.world, GateItem.LOCATION, at=NOW - timedelta(minutes=5))
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        driver = (api.world.company_id, api.world.driver.member_id)
        await gates.close_window(conn, *driver, at=NOW - timedelta(minutes=4))
        await gates.open_window(
            conn,
            *driver,
            at=NOW - timedelta(minutes=4),
            expires_at=NOW + timedelta(hours=1),
        )

    answer = await api.upload(positions(2, step_s=1800))

    assert answer["accepted"] == 1
    assert [(one["index"], one["reason"]) for one in answer["refused"]] == [(0, "before_consent")]


async def test_a_belief_from_before_the_consent_refuses_nothing(api: Api) -> None:
    driver = await add_driver(
        api.world.vault, api.world.pool, api.world.company_id, consents=(), on_shift=False
    )
    before = await api.upload(positions(1), driver=driver)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        for item in GateItem:
            at = NOW - timedelta(seconds=5)
            await gates.set_consent(conn, api.world.company_id, driver.member_id, item, at)
        await gates.open_window(
            conn,
            api.world.company_id,
            driver.member_id,
            at=NOW - timedelta(seconds=5),
            expires_at=NOW + timedelta(hours=1),
        )

    after = await api.upload(positions(1), driver=driver)

    assert (before["accepted"], before["consent"]) == (0, "not_given")
    assert (before["collect"], before["purge"]) == (False, False)
    assert after == {"accepted": 1, "duplicate": 0, **ALL_WELL}


async def test_after_the_shift_its_tail_may_still_arrive(api: Api) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.close_window(conn, *driver, at=NOW - timedelta(seconds=15))

    answer = await api.upload(positions(3))

    assert answer["accepted"] == 1
    assert [one["reason"] for one in answer["refused"]] == ["outside_window"] * 2
    assert (answer["collect"], answer["purge"], answer["consent"]) == (False, False, "given")


async def test_a_blocked_account_keeps_nothing(api: Api) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_account_active(conn, *driver, active=False)

    answer = await api.upload(positions(2))

    assert (answer["accepted"], answer["collect"], answer["purge"]) == (0, False, False)
    assert {one["reason"] for one in answer["refused"]} == {"account_inactive"}


@pytest.mark.proves("relog-service:1.5")
async def test_a_revoked_device_is_out_at_once(api: Api) -> None:
    await api.upload(positions(1))
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.bump_credentials(conn, api.world.company_id, api.world.driver.member_id)
        await conn.execute("UPDATE device SET revoked_at = $1", NOW)

    status, answer = await api.post({"positions": positions(1, step_s=3)})

    assert (status, answer["code"]) == (401, "not-authenticated")
    assert await api.rows() == 1


@pytest.mark.proves("relog-service:1.5")
@pytest.mark.parametrize("token", ["", "jd_x_y", "jd_AAAAAAAAAAAAAAAAAAAAAA_" + "A" * 43])
async def test_an_unknown_token_is_refused(api: Api, token: str) -> None:
    status, _ = await api.post({"positions": positions(1)}, token=token or "none")

    assert status == 401
    assert await api.rows() == 0


@pytest.mark.proves("relog-manager-app:1.3.1-consent")
@pytest.mark.parametrize("role", ["driver", "dispatcher", "main_user"])
async def test_a_session_may_not_upload(api: Api, role: str) -> None:
    world = api.world
    token = await (world.driver_session() if role == "driver" else world.session(role))

    status, _ = await api.post({"positions": positions(1)}, token=token)

    assert status == 401
    assert await api.rows() == 0


async def only_dispatch(api: Api) -> Driver:
    return await add_driver(
        api.world.vault,
        api.world.pool,
        api.world.company_id,
        consents=(GateItem.LOCATION, GateItem.DISPATCH_TRACKING),
    )


async def test_with_dispatch_alone_only_the_newest_position_is_kept(api: Api) -> None:
    driver = await only_dispatch(api)

    answer = await api.upload(positions(3), driver=driver)
    older = await api.upload(positions(1, until=NOW - timedelta(seconds=5)), driver=driver)
    newer = await api.upload(positions(1, until=NOW + timedelta(seconds=5)), driver=driver)
    again = await api.upload(positions(1, until=NOW + timedelta(seconds=5)), driver=driver)

    assert answer["accepted"] == 1
    assert [(one["index"], one["reason"]) for one in answer["refused"]] == [
        (0, "not_kept"),
        (1, "not_kept"),
    ]
    assert [one["reason"] for one in older["refused"]] == ["not_kept"]
    assert (newer["accepted"], again["accepted"]) == (1, 1)
    assert await api.rows() == 0
    kept = await api.world.owner.fetch("SELECT recorded_at FROM latest_position")
    assert [row["recorded_at"] for row in kept] == [NOW + timedelta(seconds=5)]


async def test_after_the_driver_was_erased_their_device_is_unknown(api: Api) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_account_active(conn, *driver, active=False)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.bump_credentials(conn, *driver)
        await service.erase(conn, *driver)
        await conn.execute("DELETE FROM device")
        await gates.erase(conn, *driver)

    status, _ = await api.post({"positions": positions(1, step_s=3)})

    assert status == 401
    assert await api.rows() == 0
    assert await refusal_counts(api) == {}


async def test_the_counters_of_an_inactive_account_are_left_alone(api: Api) -> None:
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_account_active(conn, *driver, active=False)

    await api.upload(positions(2))

    assert await refusal_counts(api) == {}


async def test_while_the_consent_is_changing_the_phone_is_told_to_come_again(api: Api) -> None:
    await api.upload(positions(1))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await conn.execute(
            "INSERT INTO gate_closing VALUES ($1, $2, $3, $4)", *driver, uuid7(), NOW
        )

    status, answer = await api.post({"positions": positions(1, step_s=3), "batch_id": "x"})

    assert (status, answer["code"], answer["retry_after_s"]) == (503, "gate-busy", 1.0)
    assert await api.rows() == 1


@pytest.mark.proves("gocargo:terms-interruptions")
async def test_while_no_key_can_be_had_nothing_is_stored(
    world: World, databases: Databases, kek_file: Path
) -> None:
    async with pool(databases.keys, role=ROLE_KEYS) as keys:
        vault = await open_vault(keys, load(kek_file), NOW)
    # From here on the key database is away.
    async with serve(
        replace(world, vault=vault),
        TRACKING,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as client:
        api = Api(client=client, world=world, clock=Clock())
        status, _ = await api.post({"positions": positions(1)})

    assert status == 503
    for table in ("chunk", "latest_position"):
        assert await world.owner.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608 - of this list
