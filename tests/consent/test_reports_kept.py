"""The record of a consent to plan versus fact says for how long final reports are kept."""

import json

import pytest

from server.consent.model import ConsentItem
from server.consent.record import PROCESSING
from tests.consent.acts import give
from tests.consent.people import new_driver
from tests.reports.days import keep_reports
from tests.world import World


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (None, ""),
        (90, "; the final report is kept sealed, P90D after the planned end"),
    ],
)
async def test_the_record_of_a_consent_says_it_as_well(
    world: World, days: int | None, told: str
) -> None:
    await keep_reports(world, days)
    driver = await new_driver(world)

    said = {}
    for item in (ConsentItem.LOCATION, ConsentItem.PLAN_FACT):
        document = json.loads((await give(world, driver, item)).record or "")
        said[item] = document["pii_processing"]["purposes"][0]["processing_method"]

    assert said == {
        ConsentItem.LOCATION: PROCESSING[ConsentItem.LOCATION].processed,
        ConsentItem.PLAN_FACT: PROCESSING[ConsentItem.PLAN_FACT].processed.format(
            reports_kept=told
        ),
    }
