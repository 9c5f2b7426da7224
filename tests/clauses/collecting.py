"""Asks pytest itself which tests there are and what they prove."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.clauses.catalogue import Proofs
from tests.clauses.plugin import OPTION

ROOT: Final = Path(__file__).parents[2]


def proofs(*arguments: str) -> Proofs:
    """Return what the tests prove; ``arguments`` are pytest's own.

    Raises
    ------
    RuntimeError
        A test file cannot be collected.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "proofs.json")
        collected = subprocess.run(  # noqa: S603 - our own interpreter, our own words
            [
                *(sys.executable, "-m", "pytest", "--collect-only", "--quiet"),
                *("-p", "no:cacheprovider", OPTION, str(path), *arguments),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if collected.returncode:
            raise RuntimeError(collected.stdout[-2000:] + collected.stderr[-2000:])
        found: Proofs = json.loads(path.read_text())
        return found
