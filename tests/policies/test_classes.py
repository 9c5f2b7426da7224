"""The class of an edition is the word of whoever publishes it: it is told, and shortens nothing."""

from datetime import timedelta

import pytest
from aiohttp import ClientSession

from tests.http import Clock, bearer
from tests.policies.acts import accept, current, entries
from tests.world import NOW, World

DAY = timedelta(days=1)
PATH = "/v1/policies/driver_notice"


@pytest.mark.proves("relog-service:8.1", "relog-service:8.2", "kargo.az:changes")
async def test_a_protective_edition_waits_and_every_member_is_told_the_class_and_what_differs(
    client: ClientSession, shipped: World, clock: Clock
) -> None:
    """It says so itself, and may be wrong: this one takes a promise back."""
    kept_for_ever = {"ru": "# Документ\n\nХраним всегда.\n"}  # noqa: RUF001 - Russian
    boss, driver = await shipped.session("main_user"), await shipped.driver_session()
    await accept(client, driver, await current(client, shipped))

    async with client.post(
        f"{PATH}/editions",
        json={"change_class": "protective", "texts": kept_for_ever},
        headers=bearer(boss),
    ) as answer:
        made = await answer.json()
    async with client.get(f"{PATH}/diff", headers=bearer(driver)) as answer:
        differs = await answer.json()
    clock.at = NOW + 30 * DAY - timedelta(microseconds=1)
    before = await current(client, shipped)
    clock.at = NOW + 30 * DAY
    after = await current(client, shipped)

    assert (made["change_class"], made["effective_at"]) == ("protective", "2026-12-22T12:00:00Z")
    assert (before["edition"], after["edition"]) == (1, 2)
    assert (differs["since"], differs["edition"]) == (1, 2)
    assert "Храним всегда." in {one["after"] for one in differs["changes"]}
    told = await shipped.owner.fetch(
        "SELECT member_id, facts ->> 'change' AS change FROM notice WHERE dedupe = $1",
        "driver_notice:2",
    )
    members = await shipped.owner.fetch("SELECT member_id FROM member")
    assert {row["member_id"] for row in told} == {row["member_id"] for row in members}
    assert {row["change"] for row in told} == {"protective"}
    assert (await entries(shipped, "edition_published"))[-1]["change_class"] == "protective"
