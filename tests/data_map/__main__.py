"""Writes docs/reference/data-map.md anew."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from server.data_map.model import FILE as DOCUMENT
from tests.data_map.catalogue import migrated
from tests.data_map.page import FILE, document, page

if __name__ == "__main__":
    with TemporaryDirectory(prefix="jolda-map-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as somebody else
        found = asyncio.run(migrated(Path(folder)))
        FILE.write_text(page(found), encoding="utf-8")
        DOCUMENT.write_text(document(found), encoding="utf-8")
