"""Where the small races run."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import copy_databases
from tests.stage import Place


@pytest.fixture
async def place(server_dsn: str, kek_file: Path) -> Place:
    """Databases of its own: what a process that was killed leaves behind is nobody else's."""
    databases = await copy_databases(server_dsn, f"races_{uuid4().hex}")
    return Place(main=databases.main, keys=databases.keys, kek=kek_file)
