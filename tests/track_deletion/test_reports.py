"""What a report says of a span that its driver deleted, also while it is being made."""

from datetime import timedelta

import pytest

from tests.reports.days import (
    AT_STOP_S,
    DRIVE_S,
    HOUR,
    STARTED,
    Office,
    driven,
    finish,
    keep_reports,
)
from tests.reports.days import office as opened_office
from tests.reports.days import rows as reports
from tests.track_deletion.conftest import Stage
from tests.world import World


async def visited(office: Office, head: object) -> list[str]:
    found = await office.report(head)  # type: ignore[arg-type]
    return [one["status"] for one in found["stops"]]


async def test_plan_versus_fact_of_the_span_is_unknown_and_nothing_missed(
    world: World, stage: Stage
) -> None:
    await keep_reports(world)
    head = await driven(world)
    await finish(world)
    stop_begins = STARTED + timedelta(seconds=AT_STOP_S + DRIVE_S * 0.8)
    async with opened_office(world) as office:
        before = await visited(office, head)
        kept = await reports(world)

        await stage.delete(stop_begins, STARTED + HOUR)

        assert len(kept) == 1
        assert await reports(world) == []
        assert (before, await visited(office, head)) == (
            ["visited", "visited"],
            ["visited", "unknown"],
        )


async def test_a_report_that_is_being_made_meanwhile_is_not_stored(
    world: World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.reports import final  # noqa: PLC0415 - what is replaced, beside it

    await keep_reports(world)
    await driven(world)
    keep = final._keep  # noqa: SLF001 - the last thing that making one does

    async def meanwhile(*args: object, **named: object) -> bool:
        await stage.delete(STARTED, STARTED + HOUR)
        return await keep(*args, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as slow:
        slow.setattr(final, "_keep", meanwhile)
        await finish(world)

    assert await reports(world) == []
    # The next minute makes it of what is left: nothing.
    assert await finish(world) == 1
    assert [one["sealed"] for one in await reports(world)] == [None]
