import asyncio

import pytest
from playwright.async_api import Page, expect

from server.demo.api import Api
from tests.e2e.conftest import WAIT_MS
from tests.e2e.steps import DELETED, WITHDRAWN, choose, enter, log_in, row
from tests.running import Demo

pytestmark = pytest.mark.xdist_group("browser")


async def test_a_wrong_password_is_told_in_one_neutral_sentence(page: Page, served: Demo) -> None:
    await page.goto(f"{served.url}/")
    await page.locator("[data-testid=login-form] input").nth(0).fill("nobody@demo.example")
    await page.locator("[data-testid=login-form] input").nth(1).fill("wrong-password-1")
    await page.get_by_test_id("login-submit").click()

    await expect(page.get_by_test_id("login-error")).to_be_visible()
    await expect(page.get_by_test_id("login-error")).to_be_focused()


async def test_the_fleet_is_listed_and_moves(inside: Page, served: Demo, dispatcher: Api) -> None:
    page = inside
    await enter(page, served)

    drivers = (await dispatcher.get("/v1/drivers"))["items"]
    await expect(page.get_by_test_id("driver-row")).to_have_count(len(drivers))
    await expect(page.get_by_test_id("connection-state")).to_have_text("Live")
    await expect(page.locator("[data-testid=driver-row][data-link=live]").first).to_be_visible(
        timeout=WAIT_MS
    )
    await expect(page.locator("canvas.maplibregl-canvas")).to_be_visible()


async def test_a_withdrawal_takes_the_driver_and_the_driven_line_off_the_map(
    inside: Page, served: Demo
) -> None:
    page = inside
    await enter(page, served)
    driver = served.company.drivers[WITHDRAWN]
    await choose(page, driver)
    map_shown = page.get_by_test_id("map")
    driven = map_shown.and_(page.locator('[data-plan-lines="1"][data-fact-lines]'))
    nothing_driven = page.locator('[data-fact-lines="0"]')
    await expect(driven).to_be_visible()
    await expect(map_shown.and_(nothing_driven)).to_have_count(0)
    person = await served.api.log_in(driver.phone, driver.password)

    await person.post("/v1/me/consents/location/withdraw")

    hidden = page.locator("[data-link=not_shared], [data-link=off_shift]")
    await expect(row(page, driver.driver_id).and_(hidden)).to_be_visible(timeout=3_000)
    await expect(driven.and_(nothing_driven)).to_be_visible(timeout=3_000)


async def test_the_list_works_by_keyboard_alone(inside: Page, served: Demo) -> None:
    page = inside
    await enter(page, served)
    await page.get_by_test_id("driver-list").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")

    await expect(page.get_by_test_id("details-panel")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("details-panel")).to_be_hidden()


async def erasure_of(dispatcher: Api, driver_id: str) -> str:
    """Return the state of the driver's request; other tests delete other drivers."""
    asked = (await dispatcher.get("/v1/erasure-requests"))["items"]
    [state] = [one["state"] for one in asked if one["driver_id"] == driver_id]
    return str(state)


async def test_deleting_a_driver_makes_them_unreadable(
    inside: Page, served: Demo, dispatcher: Api
) -> None:
    page = inside
    await enter(page, served)
    driver = served.company.drivers[DELETED]
    await row(page, driver.driver_id).click()
    await page.get_by_test_id("delete-driver").click()

    await page.get_by_test_id("confirm-delete").click()

    await expect(page.get_by_test_id("tracking-stopped")).to_be_visible()
    await expect(row(page, driver.driver_id)).to_have_count(0, timeout=WAIT_MS)
    async with asyncio.timeout(20):
        while await erasure_of(dispatcher, driver.driver_id) != "erased":  # noqa: ASYNC110 - the job runner's work
            await asyncio.sleep(0.2)
    drivers = (await dispatcher.get("/v1/drivers"))["items"]
    assert driver.driver_id not in [one["driver_id"] for one in drivers]


async def test_logging_out_ends_the_session(page: Page, served: Demo) -> None:
    await log_in(page, served)

    await page.get_by_test_id("logout").click()

    await page.get_by_test_id("login-form").wait_for()
    await page.reload()
    await page.get_by_test_id("login-form").wait_for()
