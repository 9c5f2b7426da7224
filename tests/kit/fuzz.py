"""Schemathesis against a running server: what the document promises, tried from both sides."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

TOP = Path(__file__).parents[2]


async def fuzz(
    url: str, *, headers: Mapping[str, str], max_examples: int, seed: int = 1
) -> tuple[bool, str]:
    """Run every phase on the document at ``url``; return whether nothing failed, and the report.

    Valid and invalid requests; answers must be documented in status, type and shape; invalid
    data must be refused and valid data taken; unknown methods get 405 with ``Allow``.
    """
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *named,
        "--checks", "all", "--max-examples", str(max_examples), "--seed", str(seed),
        "--no-color", "--no-shrink", "--suppress-health-check", "all",
        cwd=TOP,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.kit.schemathesis_hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told, _ = await running.communicate()
    return running.returncode == 0, told.decode()
