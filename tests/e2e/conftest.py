"""A real browser: the system's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.running import Demo, demo

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 20_000


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: set CHROMIUM, or install it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def served(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    async with demo(server_dsn, Path(tmp_path_factory.mktemp("demo"))) as running:
        yield running


@pytest.fixture
async def page(browser: Browser, served: Demo) -> AsyncIterator[Page]:
    """An empty page; a script error, a foreign request or a broken policy fails the test."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((served.url, "data:", "blob:"))
            else faults.append(f"foreign request: {request.url}")
        ),
    )
    page.on(
        "console",
        lambda message: (
            faults.append(message.text)
            if "Content Security Policy" in message.text or "TrustedHTML" in message.text
            else None
        ),
    )
    yield page
    await context.close()
    assert faults == []
