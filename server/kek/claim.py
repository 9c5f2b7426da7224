"""Whose a KEK's file is: of two installations with one, each destroys the KEK that the other needs.

A small file beside it names the installation, as the key database does. It is no secret, and it is
not copied with the KEK: a copy in a folder of its own is nobody's until somebody uses it.
"""

from contextlib import suppress
from pathlib import Path
from uuid import UUID

from server.kek import disk
from server.kek.model import KekUnusable
from server.kit.files import sync_folder


def mark_of(path: Path) -> Path:
    """Return where it stands whose the KEK at ``path`` is."""
    return path.with_name(f".{path.name}.installation")


def claim(path: Path, installation_id: UUID) -> None:
    """Write that it is this installation's, unless it is somebody's.

    Raises
    ------
    KekUnusable
        It is another's.
    """
    mark = mark_of(path)
    if not mark.exists():
        disk.create_beside(path, mark, f"{installation_id}\n".encode())
    refuse_other(path, installation_id)


def refuse_other(path: Path, installation_id: UUID | None) -> None:
    """Refuse a KEK that is another installation's. None: anybody is another.

    Raises
    ------
    KekUnusable
    """
    mark = mark_of(path)
    try:
        found = mark.read_bytes().strip()
    except FileNotFoundError:
        return
    if installation_id is not None and found == str(installation_id).encode():
        return
    raise KekUnusable(
        f"The KEK file {path} belongs to another installation, which {mark} names: an exchange of "
        "keys by either of the two would destroy the KEK that the other needs. Name a file of its "
        "own; to try a backup, put a copy of the KEK alone into a folder of its own. Only if that "
        f"installation is gone for good, and this one takes its place, remove {mark}."
    )


def remove_all(path: Path) -> None:
    """Destroy the KEK, what a crash left of others, and all that Jolda put beside it."""
    disk.sweep(path)
    for name in disk.there(path):
        disk.destroy(name)
    disk.lock_of(path).unlink(missing_ok=True)
    disclaim(path)


def disclaim(path: Path) -> None:
    """Let it be nobody's."""
    with suppress(FileNotFoundError):
        mark_of(path).unlink()
        sync_folder(path.parent)
