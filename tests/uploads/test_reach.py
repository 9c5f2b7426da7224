"""What a consent to location covers beside the time, from the answer to the refusal."""

from datetime import timedelta
from typing import Any

import pytest

from server.consent.model import ConsentAct, LocationScope, LocationTerms
from server.gate import service as gates
from server.gate.model import GateItem, Source
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from tests import consents
from tests.uploading import Api, positions
from tests.world import NOW

LATER = NOW + timedelta(minutes=10)


async def agree(api: Api, terms: LocationTerms) -> None:
    """Give the location anew, on these terms."""
    world, key = api.world, (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(world.pool, *key, now=NOW) as conn:
        await consents.answer(conn, *key, GateItem.LOCATION, ConsentAct.GIVE, now=NOW, terms=terms)
    api.clock.at = LATER


async def refused(api: Api, sent: list[dict[str, Any]]) -> list[tuple[int, str]]:
    answer = await api.upload(sent)
    return [(one["index"], one["reason"]) for one in answer["refused"]]


def sent(**values: list[Any]) -> list[dict[str, Any]]:
    size = len(next(iter(values.values())))
    listed = positions(size, until=LATER)
    for name, column in values.items():
        for one, value in zip(listed, column, strict=True):
            one[name] = value
    return listed


@pytest.mark.proves("relog-driver-app:3.2-sources", "gocargo:what-we-collect-4-geo")
async def test_sources_that_are_not_agreed_to_are_refused_and_counted(api: Api) -> None:
    before = await refused(api, positions(2, source="cell"))
    await agree(api, LocationTerms(sources=frozenset({Source.GPS, Source.BEACON})))

    found = await refused(api, sent(source=["gps", "wifi", "beacon", None, "fused", "cell"]))

    assert before == []
    assert found == [(place, "source_not_covered") for place in (1, 3, 4, 5)]
    counted = await api.world.owner.fetch("SELECT reason, count FROM refusal_count")
    assert [tuple(row) for row in counted] == [("source_not_covered", 4)]


async def test_a_belief_from_before_the_new_terms_stores_nothing_they_do_not_cover(
    api: Api,
) -> None:
    # The process has just believed that every source is covered.
    await api.upload(positions(1, source="wifi"))
    stored = await api.rows()
    await agree(api, LocationTerms(sources=frozenset({Source.GPS})))

    found = await refused(api, sent(source=["wifi"]))

    assert found == [(0, "source_not_covered")]
    assert await api.rows() == stored


@pytest.mark.proves("relog-service:1.6")
async def test_the_background_is_refused_where_it_is_not_agreed_to(api: Api) -> None:
    await agree(api, LocationTerms(background=False))

    found = await refused(api, sent(app_state=["foreground", "background", None]))

    assert found == [(1, "background_not_covered"), (2, "background_not_covered")]


@pytest.mark.parametrize("form", ["positions", "columns"])
async def test_the_app_state_is_read_in_both_forms_and_not_kept(api: Api, form: str) -> None:
    await agree(api, LocationTerms(background=False))
    listed = sent(app_state=["foreground", "background"])
    body: dict[str, Any] = {"positions": listed}
    if form == "columns":
        at_ms = [round((LATER.timestamp() - 10 * (1 - place)) * 1000) for place in range(2)]
        names = ("lat", "lon", "app_state")
        columns = {name: [one[name] for one in listed] for name in names}
        body = {"columns": {"recorded_at_ms": at_ms, **columns}}

    status, answer = await api.post(body)

    assert (status, answer["accepted"]) == (200, 1)
    assert [one["index"] for one in answer["refused"]] == [1]


async def test_with_the_scope_always_positions_are_kept_off_shift(api: Api) -> None:
    world, key = api.world, (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(world.pool, *key, now=NOW) as conn:
        await shifts.end(conn, *key, by=ShiftEnd.DRIVER, now=NOW)
    api.clock.at = LATER
    off_shift = await refused(api, positions(1, until=LATER))

    await agree(api, LocationTerms(scope=LocationScope.ALWAYS))

    assert off_shift == [(0, "outside_window")]
    assert await refused(api, positions(1, until=LATER)) == []
