"""axe-core, run on a page as it stands.

It comes from the web apps' own packages and is handed over by the browser's DevTools protocol: the
page's policy allows no script but its own, and does not bind what DevTools evaluate.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page

SOURCE: Final = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
WCAG_22_AA: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
OPTIONS: Final = {
    "runOnly": {"type": "tag", "values": WCAG_22_AA},
    # The one rule of 2.2 itself, which axe leaves off unless it is named.
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
_RUN: Final = f"""
axe.run(document, {json.dumps(OPTIONS)}).then((found) => ({{
  checked: [...found.passes, ...found.violations].map(({{ id }}) => id),
  violations: found.violations.flatMap(({{ id, nodes }}) =>
    nodes.map(({{ target, failureSummary }}) => [id, target.join(' '), failureSummary])),
}}))
"""


async def violations(page: Page) -> list[tuple[str, str, str]]:
    """Return rule, element and reason of each violation of WCAG 2.2 A and AA on the page.

    Raises
    ------
    pytest.fail.Exception
        axe is not there, or looked at next to nothing.
    """
    if not SOURCE.exists():
        pytest.fail("axe-core is not installed: .ci/install dashboard")
    session = await page.context.new_cdp_session(page)
    await session.send("Runtime.evaluate", {"expression": SOURCE.read_text("utf-8")})
    answer: dict[str, Any] = await session.send(
        "Runtime.evaluate", {"expression": _RUN, "awaitPromise": True, "returnByValue": True}
    )
    await session.detach()
    if "exceptionDetails" in answer:
        pytest.fail(f"axe failed: {answer['exceptionDetails']}")
    found = answer["result"]["value"]
    # Under a modal dialog axe leaves out the rules for whole pages; these two it never may.
    if not {"color-contrast", "target-size"} <= set(found["checked"]):
        pytest.fail(f"axe looked only at {found['checked']}")
    return [(rule, element, reason) for rule, element, reason in found["violations"]]
