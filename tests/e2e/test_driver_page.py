"""The chosen driver: what the page shows is what the API answers, on the map and in the table."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, Route, expect

from server.demo.api import Api
from tests.e2e.steps import choose, enter, under_way, until
from tests.running import Demo

pytestmark = pytest.mark.xdist_group("browser")

Row = tuple[str, str, str, str, str]
"""Number, name, planned time, actual time and status of a stop; a dash for what is not known."""
DASH: Final = "\u2013"

# The lines' colours in the light scheme (styles/tokens.css), and pixels no line's absence leaves:
# the one vehicle on the map is a disc of 380 in the colour of the driven line.
COLOURS: Final = {"plan": (0x3A, 0x3F, 0x47), "fact": (0x0A, 0x66, 0xB7)}
DRAWN_FROM_PIXELS: Final = {"plan": 300, "fact": 800}
_COUNT: Final = """
async ([png, colours]) => {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const pen = new OffscreenCanvas(image.width, image.height).getContext('2d');
  pen.drawImage(image, 0, 0);
  const { data } = pen.getImageData(0, 0, image.width, image.height);
  const counts = colours.map(() => 0);
  for (let at = 0; at < data.length; at += 4) {
    colours.forEach((colour, index) => {
      counts[index] += colour.every((value, part) => Math.abs(value - data[at + part]) <= 4);
    });
  }
  return counts;
}
"""
_ROWS: Final = """
(rows) => rows.map((row) => {
  const [number, planned, actual] = row.querySelectorAll('td');
  const words = (cell) => cell.querySelector('[aria-hidden]')?.textContent ?? cell.textContent;
  return [number.textContent, row.querySelector('th').firstChild.textContent,
          words(planned), words(actual), row.dataset.status];
})
"""


async def shown(page: Page) -> list[Row]:
    found: list[Sequence[str]] = await page.get_by_test_id("stop-row").evaluate_all(_ROWS)
    return [(one[0], one[1], one[2], one[3], one[4]) for one in found]


def answered(report: Mapping[str, Any]) -> list[Row]:
    """Return the rows that ought to stand in the table of such a report."""
    zone = ZoneInfo(report["display_time_zone"])

    def time(at: str | None) -> str:
        return DASH if at is None else f"{datetime.fromisoformat(at).astimezone(zone):%H:%M}"

    return [
        (
            str(number),
            stop["name"],
            time(stop["planned_arrival"]),
            time(stop["arrived_at"]),
            stop["status"],
        )
        for number, stop in enumerate(
            sorted(report["stops"], key=lambda stop: int(stop["planned_sequence"])), start=1
        )
    ]


async def drawn(page: Page) -> dict[str, bool]:
    """Look at the map: which of the two lines can be seen in their colours?"""
    box = await page.get_by_test_id("map").bounding_box()
    assert box is not None
    # What the camera leaves free for buttons, legend and scale, which have these colours too.
    picture = await page.screenshot(
        clip={
            "x": box["x"],
            "y": box["y"] + 64,
            "width": box["width"],
            "height": box["height"] - 64 - 88,
        }
    )
    counts: list[int] = await page.evaluate(
        _COUNT, [base64.b64encode(picture).decode(), list(COLOURS.values())]
    )
    return {
        line: count >= DRAWN_FROM_PIXELS[line] for line, count in zip(COLOURS, counts, strict=True)
    }


async def answer_only(page: Page, lines: frozenset[str]) -> None:
    """Let the answers through with these lines, and without stops: their signs look alike."""

    async def altered(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        if "items" not in body:  # the list of routes stays as it is
            body["stops"] = []
        if "line" in body and "plan" not in lines:
            body["line"] = []
        if "fact" in body and "fact" not in lines:
            body["fact"] = {"segments": []}
        if "deviations" in body:
            body["deviations"] = []
        await route.fulfill(response=answer, json=body)

    await page.route("**/v1/routes*", altered)
    await page.route("**/v1/routes/**", altered)


@pytest.mark.parametrize(
    "lines",
    [frozenset({"plan", "fact"}), frozenset({"plan"}), frozenset({"fact"})],
    ids=["both", "plan", "fact"],
)
async def test_a_line_is_drawn_where_the_server_has_one_and_only_there(
    inside: Page, served: Demo, dispatcher: Api, lines: frozenset[str]
) -> None:
    page = inside
    driver, _ = await under_way(served, dispatcher)
    await answer_only(page, lines)
    await enter(page, served)
    # Only the chosen driver's marker stays on the map.
    await page.locator("#driver-search").fill("nobody of this name")
    await expect(page.get_by_test_id("driver-row")).to_have_count(0)
    await page.goto(f"{served.url}/d/#driver={driver.driver_id}")
    await page.get_by_test_id("totals").wait_for()

    async def as_answered() -> bool | None:
        found = await drawn(page)
        return True if {line for line in found if found[line]} == lines else None

    await until(as_answered, seconds=20)
    found = page.get_by_test_id("map")
    await expect(found).to_have_attribute("data-markers", "1")
    for line in COLOURS:
        count = found.and_(page.locator(f'[data-{line}-lines="0"]'))
        await expect(count).to_have_count(0 if line in lines else 1)


async def test_the_table_of_stops_is_what_plan_fact_answers(
    inside: Page, served: Demo, dispatcher: Api
) -> None:
    page = inside
    driver, route_id = await under_way(served, dispatcher)
    await enter(page, served)

    await choose(page, driver)

    async def agreed() -> Mapping[str, Any] | None:
        # Both go on while the driver drives, the page a little later.
        report: Mapping[str, Any] = await dispatcher.get(f"/v1/routes/{route_id}/plan-fact")
        return report if await shown(page) == answered(report) else None

    report = await until(agreed, seconds=20)
    statuses = [stop["status"] for stop in report["stops"]]
    assert len(statuses) > 3
    assert {"visited", "pending"} <= set(statuses)
    await expect(page.get_by_test_id("details-panel")).to_have_attribute(
        "data-driver-id", driver.driver_id
    )
    await expect(page.get_by_test_id("totals")).to_contain_text(
        f"{report['totals']['planned_m'] / 1000:.1f} km"
    )


async def test_a_table_that_tells_something_else_is_noticed(
    inside: Page, served: Demo, dispatcher: Api
) -> None:
    page = inside
    driver, route_id = await under_way(served, dispatcher)

    async def altered(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        visited = next(stop for stop in body["stops"] if stop["status"] == "visited")
        visited["name"] = "Another stop"
        visited["status"] = "missed"
        await route.fulfill(response=answer, json=body)

    await page.route("**/plan-fact", altered)
    await enter(page, served)
    await choose(page, driver)
    await page.locator("[data-testid=stop-row][data-status=missed]").first.wait_for()

    report = await dispatcher.get(f"/v1/routes/{route_id}/plan-fact")
    assert await shown(page) != answered(report)
