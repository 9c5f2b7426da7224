import asyncio

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import WAIT_MS
from tests.running import Demo

pytestmark = pytest.mark.xdist_group("browser")


def row(page: Page, driver_id: str) -> Locator:
    return page.locator(f'[data-testid=driver-row][data-driver-id="{driver_id}"]')


async def log_in(page: Page, served: Demo) -> None:
    await page.goto(f"{served.url}/")
    await page.get_by_test_id("login-form").wait_for()
    await (
        page.locator("[data-testid=login-form] input").nth(0).fill(served.company.dispatcher_login)
    )
    await (
        page.locator("[data-testid=login-form] input")
        .nth(1)
        .fill(served.company.dispatcher_password)
    )
    await page.keyboard.press("Enter")
    await page.get_by_test_id("driver-row").first.wait_for()


async def test_a_wrong_password_is_told_in_one_neutral_sentence(page: Page, served: Demo) -> None:
    await page.goto(f"{served.url}/")
    await page.locator("[data-testid=login-form] input").nth(0).fill("nobody@demo.example")
    await page.locator("[data-testid=login-form] input").nth(1).fill("wrong-password-1")
    await page.get_by_test_id("login-submit").click()

    await expect(page.get_by_test_id("login-error")).to_be_visible()
    await expect(page.get_by_test_id("login-error")).to_be_focused()


async def test_the_fleet_is_listed_and_moves(page: Page, served: Demo) -> None:
    await log_in(page, served)

    await expect(page.get_by_test_id("driver-row")).to_have_count(len(served.company.drivers))
    await expect(page.get_by_test_id("connection-state")).to_have_text("Live")
    first = served.company.drivers[0].driver_id
    live = row(page, first).and_(page.locator("[data-link=live]"))
    await expect(live).to_be_visible(timeout=WAIT_MS)
    await expect(page.locator("canvas.maplibregl-canvas")).to_be_visible()


async def test_a_withdrawal_takes_the_driver_off_the_map(page: Page, served: Demo) -> None:
    await log_in(page, served)
    driver = served.company.drivers[0]
    await expect(row(page, driver.driver_id).and_(page.locator("[data-link=live]"))).to_be_visible()
    person = await served.api.log_in(driver.phone, driver.password)

    await person.post("/v1/me/consents/location/withdraw")

    gone = row(page, driver.driver_id).and_(page.locator(":not([data-link=live])"))
    await expect(gone).to_be_visible(timeout=3_000)


async def test_plan_and_fact_of_a_driver_stand_beside_each_other(page: Page, served: Demo) -> None:
    await log_in(page, served)
    driver = served.company.drivers[1].driver_id
    await expect(row(page, driver).and_(page.locator("[data-link=live]"))).to_be_visible()

    await row(page, driver).click()

    await expect(page.get_by_test_id("details-panel")).to_have_attribute("data-driver-id", driver)
    await expect(page.get_by_test_id("stop-row").first).to_be_visible()
    await expect(page.get_by_test_id("totals")).to_contain_text("km")


async def test_the_list_works_by_keyboard_alone(page: Page, served: Demo) -> None:
    await log_in(page, served)
    await page.get_by_test_id("driver-list").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")

    await expect(page.get_by_test_id("details-panel")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("details-panel")).to_be_hidden()


async def test_deleting_a_driver_makes_them_unreadable(page: Page, served: Demo) -> None:
    await log_in(page, served)
    driver = served.company.drivers[3]
    await row(page, driver.driver_id).click()
    await page.get_by_test_id("delete-driver").click()

    await page.get_by_test_id("confirm-delete").click()

    await expect(page.get_by_test_id("tracking-stopped")).to_be_visible()
    await expect(row(page, driver.driver_id)).to_have_count(0, timeout=WAIT_MS)
    dispatcher = await served.dispatcher()
    async with asyncio.timeout(20):
        while (await dispatcher.get("/v1/erasure-requests"))["items"][0]["state"] != "erased":  # noqa: ASYNC110 - the job runner's work
            await asyncio.sleep(0.2)
    drivers = (await dispatcher.get("/v1/drivers"))["items"]
    assert driver.driver_id not in [one["driver_id"] for one in drivers]


async def test_logging_out_ends_the_session(page: Page, served: Demo) -> None:
    await log_in(page, served)

    await page.get_by_test_id("logout").click()

    await page.get_by_test_id("login-form").wait_for()
    await page.reload()
    await page.get_by_test_id("login-form").wait_for()
