import pytest

from tests.races.reader_driver import FILES, HIDES, WAYS, Stop
from tests.races.reader_server import Variant
from tests.races.readers import Meets, mixed, race
from tests.stage import Place

CONTROL_STOPS = 3
CONTROL_ROUNDS_MAX = 5
"""What a stop meets is chance: it is tried again until every way was late once."""


async def test_after_a_stop_no_way_leads_to_the_position_but_the_drivers_own(place: Place) -> None:
    stops = mixed(len(Stop))

    found = await race(place, Variant.FENCE, stops)

    assert found.stops.total() == found.own == len(stops)
    assert found.seen.keys() == WAYS
    assert found.seen_in_parts.keys() == FILES
    assert found.late_at == {}


@pytest.mark.parametrize(
    ("variant", "meets"),
    [(Variant.NO_BARRIER, Meets.JUDGED), (Variant.REMEMBERS, Meets.READ)],
)
async def test_control_without_the_fence_every_way_is_late(
    place: Place, variant: Variant, meets: Meets
) -> None:
    whole = [(stop, meets) for stop in Stop if HIDES[stop] == WAYS]

    late: set[str] = set()
    late_in_parts: set[str] = set()
    for _ in range(CONTROL_ROUNDS_MAX):
        found = await race(place, variant, whole[:CONTROL_STOPS])
        late |= found.late.keys()
        late_in_parts |= found.late_in_parts.keys()
        if late >= WAYS and late_in_parts >= FILES:
            break

    assert late == {*WAYS}
    assert late_in_parts == {*FILES}
