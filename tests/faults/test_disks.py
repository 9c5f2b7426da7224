"""Disks that fail under uploads: told as an outage, nothing lost, got over without a person."""

import pytest

from tests.faults import disks
from tests.faults.disk_kinds import DISKS, Disk, NoDisk, WalFull
from tests.faults.disks import BROKEN_S, rows_of, survive


@pytest.mark.parametrize("disk", DISKS, ids=lambda disk: disk.name)
async def test_a_disk_that_fails_loses_nothing_and_is_got_over(disk: type[Disk]) -> None:
    try:
        outcome = await survive(disk, broken_s=BROKEN_S["smoke"])
    except NoDisk as why:
        pytest.skip(str(why))

    held, back = rows_of(outcome)
    assert held.met, held
    # How long it takes is for the full run to say: tests share their machine.
    assert back.value != "never"


async def test_without_a_new_start_of_postgresql_it_would_not_be_got_over() -> None:
    try:
        outcome = await survive(
            WalFull, broken_s=0.5, back_s_max=3, without=disks.without_a_new_start
        )
    except NoDisk as why:
        pytest.skip(str(why))

    assert outcome.back_s is None
