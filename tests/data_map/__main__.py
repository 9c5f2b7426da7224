"""Writes docs/reference/data-map.md anew."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.data_map.catalogue import migrated
from tests.data_map.page import FILE, page

if __name__ == "__main__":
    with TemporaryDirectory(prefix="jolda-map-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as somebody else
        FILE.write_text(page(asyncio.run(migrated(Path(folder)))), encoding="utf-8")
