import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from server.kit import localpg
from server.kit.localpg import LocalPostgresError


@pytest.fixture
def data() -> Iterator[Path]:
    # Not tmp_path: as root that lies in a folder which the database's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="jolda-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder / "postgres"
    with suppress(LocalPostgresError):
        localpg.remove(folder / "postgres")
    shutil.rmtree(folder)
