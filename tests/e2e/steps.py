"""What a dispatcher does on the page, for tests that begin after it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from playwright.async_api import Locator, Page

from server.demo.api import Api
from server.demo.company import DemoDriver
from server.demo.fleet import WITHDRAWING_DRIVER
from tests.running import Demo

# Who is whose, by place in the demo's company.
WITHDRAWN: Final = 0
WATCHED: Final = 1
DELETED: Final = 3
DELETED_BY_KEYBOARD: Final = 4

# Of nearly 10 km: long enough to be seen, and not over before the test is.
DRIVEN_FROM_M: Final = 2_000.0
DRIVEN_TO_M: Final = 6_000.0

T = TypeVar("T")


def row(page: Page, driver_id: str) -> Locator:
    return page.locator(f'[data-testid=driver-row][data-driver-id="{driver_id}"]')


async def log_in(page: Page, served: Demo) -> None:
    await page.goto(f"{served.url}/")
    await page.get_by_test_id("login-login").fill(served.company.dispatcher_login)
    await page.get_by_test_id("login-password").fill(served.company.dispatcher_password)
    await page.keyboard.press("Enter")
    await page.get_by_test_id("driver-row").first.wait_for()


async def enter(page: Page, served: Demo) -> None:
    """Open the page of somebody who is logged in already."""
    await page.goto(f"{served.url}/")
    # Small screens show the map first, and the list behind its tab.
    await page.get_by_test_id("driver-row").first.wait_for(state="attached")


async def choose(page: Page, driver: DemoDriver) -> None:
    """Open the details of a driver and wait for the table of stops."""
    await row(page, driver.driver_id).click()
    await page.get_by_test_id("stop-row").first.wait_for(state="attached")


async def until(wanted: Callable[[], Awaitable[T | None]], *, seconds: float = 40.0) -> T:
    """Ask again and again until there is an answer, and return it."""
    async with asyncio.timeout(seconds):
        while (found := await wanted()) is None:  # noqa: ASYNC110 - others' work, which tells nobody
            await asyncio.sleep(0.2)
        return found


async def under_way(served: Demo, dispatcher: Api) -> tuple[DemoDriver, str]:
    """Return a driver in the middle of a route, and the route: some stops behind, some ahead."""

    async def one() -> tuple[DemoDriver, str] | None:
        live = {one["driver_id"]: one for one in (await dispatcher.get("/v1/live"))["drivers"]}
        for number, driver in enumerate(served.company.drivers):
            seen = live.get(driver.driver_id)
            if number == WITHDRAWING_DRIVER or seen is None or seen["link"] != "live":
                continue
            if seen["route_id"] is None:
                continue
            report = await dispatcher.get(f"/v1/routes/{seen['route_id']}/plan-fact")
            driven_m = (report["totals"] or {}).get("actual_m") or 0.0
            if DRIVEN_FROM_M <= driven_m <= DRIVEN_TO_M:
                return driver, seen["route_id"]
        return None

    return await until(one)
