"""The pages in a real browser: they fit a phone and a desk, and need nothing from elsewhere."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, async_playwright

from server.kit import web as kit_web
from server.kit.http_server import listening
from server.kit.problem import problems
from server.kit.web import CLOCK, POOL
from server.policies.web import page_routes
from tests.e2e.conftest import ARGUMENTS, CHROMIUM
from tests.http import Clock
from tests.policies.acts import publish
from tests.world import World

pytestmark = pytest.mark.xdist_group("browser")
SIZES = {"phone": (390, 844), "desk": (1280, 900)}


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: set CHROMIUM, or install it")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        await opened.close()


@pytest.fixture
async def url(shipped: World) -> AsyncIterator[str]:
    app = web.Application(middlewares=[problems])
    app[POOL] = shipped.pool
    frozen: kit_web.Clock = Clock()
    app[CLOCK] = frozen
    app.router.add_routes(page_routes())
    async with listening(app, host="127.0.0.1", port=0) as address:
        yield str(address.url)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["ru", "kk", "en"])
async def test_a_notice_fits_the_screen_without_script_or_foreign_requests(
    browser: Browser, url: str, shipped: World, size: str, language: str
) -> None:
    await publish(shipped)
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, java_script_enabled=False
    )
    page = await context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("requestfailed", lambda request: faults.append(request.url))
    page.on(
        "request",
        lambda request: None if request.url.startswith(url) else faults.append(request.url),
    )

    await page.goto(f"{url}/policies/{shipped.company_id}/driver_notice?language={language}")
    heading = await page.locator("h1").inner_text()
    article = await page.locator("article").bounding_box()
    if folder := os.environ.get("SCREENSHOTS"):
        place = Path(folder) / f"policy-{language}-{width}.png"
        await page.screenshot(path=place, full_page=True)
    await context.close()

    assert heading
    assert faults == []
    assert article is not None
    assert article["x"] >= 0
    assert article["x"] + article["width"] <= width
