"""No page breaks WCAG 2.2 AA as far as axe-core can see, in both colour schemes and both widths."""

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.e2e.axe import violations
from tests.e2e.steps import WATCHED, choose, enter
from tests.running import Demo

pytestmark = pytest.mark.xdist_group("browser")

LARGE = ViewportSize(width=1280, height=800)
SMALL = ViewportSize(width=390, height=800)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LARGE, SMALL], ids=["large", "small"])
async def test_every_page_is_free_of_wcag_violations(
    page: Page, inside: Page, served: Demo, scheme: str, size: ViewportSize
) -> None:
    for one in (page, inside):
        await one.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await one.set_viewport_size(size)
    found = {}

    await page.goto(f"{served.url}/")
    await page.get_by_test_id("login-form").wait_for()
    found["log-in"] = await violations(page)

    await page.get_by_test_id("login-submit").click()
    await page.get_by_test_id("login-error").wait_for()
    found["log-in with mistakes"] = await violations(page)

    page = inside
    await enter(page, served)
    await page.locator("canvas.maplibregl-canvas").wait_for()
    found["fleet"] = await violations(page)

    if size is SMALL:
        await page.get_by_test_id("tab-list").click()
        found["list"] = await violations(page)

    await choose(page, served.company.drivers[WATCHED])
    await page.get_by_test_id("delete-driver").wait_for()
    found["driver"] = await violations(page)

    await page.get_by_test_id("delete-driver").click()
    await page.get_by_test_id("erase-dialog").wait_for()
    found["dialog"] = await violations(page)

    assert {where: faults for where, faults in found.items() if faults} == {}


async def test_planted_faults_are_found(page: Page, served: Demo) -> None:
    await page.goto(f"{served.url}/")
    await page.get_by_test_id("login-form").wait_for()
    assert await violations(page) == []

    await page.evaluate(
        """() => {
          const card = document.querySelector('.card');
          const words = document.createElement('p');
          words.textContent = 'Hardly to be read';
          words.style.color = '#dddddd';
          const picture = document.createElement('img');
          const small = document.createElement('div');
          small.append(...['a', 'b'].map((word) => {
            const button = document.createElement('button');
            button.textContent = word;
            for (const [name, value] of [['width', '9px'], ['height', '9px'], ['padding', '0']]) {
              button.style[name] = value;
            }
            return button;
          }));
          card.append(words, picture, document.createElement('input'), small);
        }"""
    )

    planted = {rule for rule, _, _ in await violations(page)}
    assert planted == {"color-contrast", "image-alt", "label", "target-size"}


async def test_the_dark_scheme_is_really_dark(page: Page, served: Demo) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{served.url}/")

    await expect(page.locator("html")).to_have_css("background-color", "rgb(14, 16, 19)")
