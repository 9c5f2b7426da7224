"""PDF of a Typst source and data, set in a process of its own.

The data never become source: Typst gets them as one inert text. The process sees no environment
of ours, an empty folder as its root and no packages; its time and memory are limited, so that no
document takes the server with it. Needs the extra ``pdf``.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Of address space: a page takes about a tenth of it."""
S_MAX: Final = 20
PDF_BYTES_MAX: Final = 16 * 1024 * 1024
_CHILD: Final = Path(__file__).with_name("typesetting_child.py")
_PDF: Final = b"%PDF-"


class SettingFailed(Exception):
    """The document could not be set within its limits. Nothing of the data stands in it."""


def is_installed() -> bool:
    return find_spec("typst") is not None


async def pdf(
    source: str,
    data: Mapping[str, Any],
    *,
    fonts: Path,
    s_max: int = S_MAX,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
) -> bytes:
    """Return the PDF; ``data`` is ``json(bytes(sys.inputs.data))`` in the source.

    Whoever is cancelled leaves no process behind.

    Raises
    ------
    SettingFailed
    """
    with TemporaryDirectory(prefix="jolda-typst-") as root:
        job = {
            "source": source,
            "data": json.dumps(data, ensure_ascii=False, allow_nan=False),
            "fonts": str(fonts),
            "root": root,
            "s_max": s_max,
            "memory_bytes_max": memory_bytes_max,
        }
        status, made = await _run(json.dumps(job).encode(), root, s_max=s_max)
    if status != 0 or not made.startswith(_PDF) or len(made) > PDF_BYTES_MAX:
        raise SettingFailed
    return made


async def _run(job: bytes, folder: str, *, s_max: int) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-X", "utf8", str(_CHILD)),
        cwd=folder,
        env={"RAYON_NUM_THREADS": "1", "HOME": folder},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # What the compiler complains of may quote the data.
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(s_max):
            made, _ = await process.communicate(job)
    except TimeoutError:
        raise SettingFailed from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, made
