"""Deleting a driver with nothing but a keyboard."""

import pytest
from playwright.async_api import Page, expect

from server.demo.api import Api
from tests.e2e.conftest import WAIT_MS
from tests.e2e.steps import DELETED_BY_KEYBOARD, WATCHED, enter, row
from tests.running import Demo

pytestmark = pytest.mark.xdist_group("browser")

STEPS_MAX = 60
WHERE = """
() => {
  const active = document.activeElement;
  if (active === null || active === document.body) {
    return 'browser';
  }
  const dialog = document.querySelector('[data-testid=erase-dialog]');
  return dialog?.contains(active) ? 'dialog' : 'page';
}
"""


async def press_until_focused(page: Page, key: str, test_id: str) -> None:
    """Go on with Tab until an element has the focus, as a person without a mouse does."""
    for _ in range(STEPS_MAX):
        if await page.evaluate("() => document.activeElement?.dataset.testid ?? null") == test_id:
            return
        await page.keyboard.press(key)
    pytest.fail(f"{key} never reaches {test_id}")


async def open_dialog(page: Page, driver_id: str) -> None:
    """From the list to the open dialog, by keys only."""
    await press_until_focused(page, "Tab", "driver-list")
    chosen = page.locator(f'[data-testid=driver-list][aria-activedescendant="driver-{driver_id}"]')
    for _ in range(STEPS_MAX):
        if await chosen.count() == 1:
            break
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("details-panel")).to_have_attribute(
        "data-driver-id", driver_id
    )
    await page.get_by_test_id("delete-driver").wait_for()
    await press_until_focused(page, "Tab", "delete-driver")
    await page.keyboard.press("Enter")
    await page.get_by_test_id("erase-dialog").wait_for()


async def places_of_focus(page: Page) -> set[str]:
    """Where the focus comes on several rounds of Tab, and of Shift and Tab."""
    found = set()
    for key in ("Tab",) * 10 + ("Shift+Tab",) * 20:
        await page.keyboard.press(key)
        found.add(await page.evaluate(WHERE))
    return found


async def test_a_driver_is_deleted_by_keyboard_alone(
    inside: Page, served: Demo, dispatcher: Api
) -> None:
    page = inside
    driver = served.company.drivers[DELETED_BY_KEYBOARD]
    await enter(page, served)
    dialog = page.get_by_test_id("erase-dialog")

    await open_dialog(page, driver.driver_id)
    await expect(dialog.locator("h2")).to_be_focused()
    # A modal dialog lets go only to the browser's own controls.
    assert await places_of_focus(page) <= {"dialog", "browser"}

    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_test_id("delete-driver")).to_be_focused()
    asked = (await dispatcher.get("/v1/erasure-requests"))["items"]
    assert driver.driver_id not in [one["driver_id"] for one in asked]

    await page.keyboard.press("Enter")
    await press_until_focused(page, "Tab", "confirm-delete")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("tracking-stopped")).to_be_visible()
    await expect(dialog.locator("h2")).to_be_focused()
    await expect(row(page, driver.driver_id)).to_have_count(0, timeout=WAIT_MS)
    await page.locator("[data-testid=erasure-state][data-state=erased]").wait_for()

    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    # What opened it is gone with the driver, so the list takes the focus.
    await expect(page.get_by_test_id("driver-list")).to_be_focused()
    drivers = (await dispatcher.get("/v1/drivers"))["items"]
    assert driver.driver_id not in [one["driver_id"] for one in drivers]


async def test_a_dialog_that_lets_the_focus_out_is_noticed(inside: Page, served: Demo) -> None:
    page = inside
    await page.add_init_script(
        "HTMLDialogElement.prototype.showModal = HTMLDialogElement.prototype.show"
    )
    await enter(page, served)

    await open_dialog(page, served.company.drivers[WATCHED].driver_id)

    assert "page" in await places_of_focus(page)
