"""Uploads that are as nearly all are: taken together, and each for itself all the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from server.deposits import committer
from server.deposits.model import UploadsBusy
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db, tokens
from server.kit.tokens import Token
from server.tracking import service as tracking
from server.tracking.model import TrackPurpose
from server.uploads.model import Upload, UploadAnswer
from server.uploads.service import Uploads
from server.uploads.wire import parse_upload
from tests import consents
from tests.conftest import Databases
from tests.uploading import positions
from tests.uploads.test_direct import json_of
from tests.world import NOW, Driver, World, add_driver

ALTITUDE_M = 100.0


@dataclass(kw_only=True)
class Intake:
    """What takes uploads, called as the connection calls it: many before the loop turns."""

    world: World
    uploads: Uploads

    async def known(self, driver: Driver) -> Token:
        """Let the process know the device and hold the driver's key, as after one upload."""
        token = tokens.parse(driver.device_token)
        assert token is not None
        first = parse_upload(json_of(positions(1, until=NOW - timedelta(minutes=30))))
        await self.uploads.take(token, first, now=NOW)
        return token

    def begun(self, token: Token, upload: Upload) -> "asyncio.Future[Any]":
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        assert self.uploads.begin(token, upload, told.set_result, now=NOW)
        return told

    async def altitudes(self, driver: Driver) -> list[float]:
        """Return what is stored of the driver's altitudes in this test."""
        async with db.tenant(self.world.pool, self.world.company_id) as conn:
            track = await tracking.track(
                conn,
                self.world.vault,
                self.world.company_id,
                driver.member_id,
                NOW - timedelta(minutes=29),
                NOW + timedelta(days=1),
                purpose=TrackPurpose.SUBJECT_ACCESS,
                now=NOW,
            )
        return sorted(track.values[5].tolist())


@pytest.fixture
async def intake(world: World, databases: Databases) -> AsyncIterator[Intake]:
    async with committer.running(databases.main, world.pool) as stores:
        yield Intake(world=world, uploads=Uploads(world.pool, world.vault, stores))


def upload(count: int, altitude_m: float = ALTITUDE_M, *, ago_min: float = 0) -> Upload:
    until = NOW - timedelta(minutes=ago_min)
    return parse_upload(json_of(positions(count, until=until, altitude_m=altitude_m)))


def backwards(one: Upload) -> Upload:
    return replace(one, positions=one.positions.take(np.arange(len(one.positions))[::-1]))


async def test_uploads_of_one_turn_are_stored_each_for_its_driver(intake: Intake) -> None:
    world = intake.world
    fleet = [await add_driver(world.vault, world.pool, world.company_id) for _ in range(6)]
    known = [await intake.known(driver) for driver in fleet]
    sizes = (1, 2, 15, 16, 17, 60)

    told = [
        intake.begun(token, upload(size, ALTITUDE_M + place))
        for place, (token, size) in enumerate(zip(known, sizes, strict=True))
    ]
    answers = await asyncio.gather(*told)

    assert [answer.accepted for answer in answers] == list(sizes)
    for place, (driver, size) in enumerate(zip(fleet, sizes, strict=True)):
        assert await intake.altitudes(driver) == [ALTITUDE_M + place] * size


async def test_what_is_not_usual_is_given_back_and_its_neighbours_are_stored(
    intake: Intake,
) -> None:
    world = intake.world
    token = await intake.known(world.driver)
    early = parse_upload(json_of(positions(2, until=NOW - timedelta(days=4))))
    late = parse_upload(json_of(positions(2, until=NOW + timedelta(minutes=5))))
    wrong_clock = replace(upload(2), sent_at=NOW - timedelta(minutes=3))

    told = [
        intake.begun(token, one)
        for one in (
            upload(3),
            backwards(upload(5)),
            early,
            late,
            wrong_clock,
            upload(4, 7.0, ago_min=5),
        )
    ]
    answers = await asyncio.gather(*told)

    assert [None if one is None else one.accepted for one in answers] == [
        3,
        None,
        None,
        None,
        None,
        4,
    ]
    assert await intake.altitudes(world.driver) == [7.0] * 4 + [ALTITUDE_M] * 3


async def test_a_month_end_inside_is_left_to_the_way_that_splits(intake: Intake) -> None:
    token = await intake.known(intake.world.driver)
    one = upload(2)
    over_night = one.positions.time_ms.copy()
    over_night[0] -= 86_400_000

    told = await intake.begun(
        token, replace(one, positions=replace(one.positions, time_ms=over_night))
    )

    assert told is None


async def test_a_culprit_fails_alone(intake: Intake) -> None:
    token = await intake.known(intake.world.driver)
    broken = upload(2)
    broken = replace(broken, positions=replace(broken.positions, values=np.zeros((6, 2))))
    every = [upload(3), broken, upload(4, 7.0, ago_min=5)]

    told = await asyncio.gather(*[intake.begun(token, one) for one in every])
    taken = await asyncio.gather(
        *[intake.uploads.take(token, one, now=NOW) for one in every], return_exceptions=True
    )

    assert told == [None] * 3  # given back, to be taken each for itself
    assert [one.accepted for one in taken if isinstance(one, UploadAnswer)] == [3, 4]
    assert isinstance(taken[1], ValueError)


async def test_a_belief_that_was_overtaken_is_forgotten_and_nothing_is_stored(
    intake: Intake,
) -> None:
    world = intake.world
    key = (world.company_id, world.driver.member_id)
    token = await intake.known(world.driver)
    async with gates.stopping(world.pool, *key, now=NOW) as conn:
        await consents.withdraw(conn, *key, GateItem.LOCATION, now=NOW)

    told = await intake.begun(token, upload(3))

    assert told is None
    assert intake.uploads.enter(token, 100) is None
    assert await intake.altitudes(world.driver) == []
    answer = await intake.uploads.take(token, upload(3), now=NOW)
    assert (answer.accepted, answer.purge) == (0, True)


async def test_the_same_upload_by_either_way_is_one_row(intake: Intake) -> None:
    token = await intake.known(intake.world.driver)

    first = await intake.begun(token, upload(3))
    again = await intake.uploads.take(token, upload(3), now=NOW)
    third = await intake.begun(token, upload(3))

    assert isinstance(first, UploadAnswer)
    assert (first.accepted, again.duplicate, third.duplicate) == (3, 3, 3)


async def test_a_committer_that_takes_nothing_more_is_told_at_once(
    world: World, databases: Databases
) -> None:
    async with committer.running(databases.main, world.pool) as stores:
        intake = Intake(world=world, uploads=Uploads(world.pool, world.vault, stores))
        token = await intake.known(world.driver)
        await stores.drain()

        told = await intake.begun(token, upload(3))

    assert isinstance(told, UploadsBusy)
