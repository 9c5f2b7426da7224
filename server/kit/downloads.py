"""The header that names a file: RFC 6266, built in one place so that no name can end it."""

import re
from typing import Final
from urllib.parse import quote

NAME_MAX: Final = 120
# What every browser and file system takes as it is; also nothing that HTTP would have to quote.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def attachment(name: str) -> str:
    """Return the ``Content-Disposition`` of a file to be saved under ``name``.

    Whatever the name holds, it stays one name: it is cut to 120 characters, what is not plain is
    replaced in ``filename`` and percent-encoded in ``filename*`` (RFC 8187).
    """
    name = name[:NAME_MAX]
    if _PLAIN.fullmatch(name):
        return f'attachment; filename="{name}"'
    plain = _UNSAFE.sub("_", name).lstrip("._-") or "file"
    # Separators of paths are no part of a name, however they are written.
    encoded = quote(re.sub(r"[/\\\x00-\x1f\x7f]", "_", name), safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
