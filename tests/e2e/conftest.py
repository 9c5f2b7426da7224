"""A real browser: the system's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, StorageState, async_playwright

from server.demo.api import Api
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


@pytest.fixture(scope="package")
async def served(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """One demo for all: a test that deletes or stops a driver has one of its own (steps.py)."""
    async with demo(server_dsn, Path(tmp_path_factory.mktemp("demo"))) as running:
        yield running


@pytest.fixture(scope="package")
async def dispatcher(served: Demo) -> Api:
    """The API, as the dispatcher: to be asked what the page shows."""
    return await served.dispatcher()


@pytest.fixture(scope="package")
async def session(browser: Browser, served: Demo) -> StorageState:
    """The cookies of one log-in for all: who logs in again and again has to wait."""
    context = await browser.new_context()
    credentials = {
        "login": served.company.dispatcher_login,
        "password": served.company.dispatcher_password,
        "transport": "cookie",
    }
    answer = await context.request.post(f"{served.url}/v1/session", data=credentials)
    assert answer.ok
    state = await context.storage_state()
    await context.close()
    return state


@pytest.fixture
async def page(browser: Browser, served: Demo) -> AsyncIterator[Page]:
    """An empty page of somebody who is not logged in."""
    async with watched(browser, served, None) as page:
        yield page


@pytest.fixture
async def inside(browser: Browser, served: Demo, session: StorageState) -> AsyncIterator[Page]:
    """An empty page of the dispatcher, who is logged in."""
    async with watched(browser, served, session) as page:
        yield page


@asynccontextmanager
async def watched(
    browser: Browser, served: Demo, session: StorageState | None
) -> AsyncGenerator[Page]:
    """Open a page; a script error, a foreign request or a broken policy fails the test."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 800}, storage_state=session
    )
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
