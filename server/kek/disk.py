"""Files that hold a key: written whole and lastingly, and overwritten before they go.

Whoever writes as root writes for the owner of the file, or of the folder: a command that an
administrator runs must not leave the server a key that it cannot read.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from server.kek.model import KEY_BYTES
from server.kit.files import sync_folder

OWNER_ONLY: Final = 0o600


def next_of(path: Path) -> Path:
    """Return where the one lies that is to follow."""
    return path.with_name(f"{path.name}.next")


def lock_of(path: Path) -> Path:
    """Return what whoever makes or destroys one holds."""
    return path.with_name(f".{path.name}.lock")


def there(path: Path) -> list[Path]:
    return [name for name in (path, next_of(path)) if name.exists()]


def probe_of(path: Path) -> Path:
    """Return a name beside it that nobody has yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def create(path: Path, key: bytes) -> None:
    """Make a file with this key, and its folders, unless there is one."""
    folders = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    create_beside(path, path, key)
    # Keys that only this one opens are stored next: its name has to outlive a loss of power.
    for made in folders:
        sync_folder(made.parent)


def create_beside(path: Path, name: Path, key: bytes) -> None:
    """Make a file in the folder of ``path``, which is there: a missing one is a disk that is."""
    # Written whole, then linked to its name: a crash leaves no half key, a race makes one key.
    draft = _draft(path, key)
    try:
        os.link(draft, name)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_folder(path.parent)


def take_over(path: Path, key: bytes) -> bool:
    """Let the file hold this key; return whether another was there.

    Another one that is to follow is left alone: should we come late, it is the one in force.
    """
    was_there = path.exists()
    if was_there and path.read_bytes() == key:
        return False
    follower = next_of(path)
    if follower.exists() and follower.read_bytes() == key:
        successor = follower
    else:
        successor = _draft(path, key)
    if was_there:
        overwrite(path)
    successor.replace(path)
    sync_folder(path.parent)
    return was_there


def destroy(path: Path) -> bool:
    """Overwrite and remove it; return whether it was there."""
    if not path.exists():
        return False
    overwrite(path)
    path.unlink()
    sync_folder(path.parent)
    return True


def overwrite(path: Path) -> None:
    """Write something else over the key."""
    # Most disks write elsewhere what is written again; on the others the old bytes are gone.
    path.chmod(OWNER_ONLY)  # it may be 0400: whoever protected it so lets it be exchanged as well
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(path: Path) -> None:
    """Remove what a crash left half made: a key under another name would outlive its end.

    For whoever alone makes and destroys: a start may be making a copy, and fails then.
    """
    if not path.parent.is_dir():
        return
    kept = [name.stat().st_ino for name in there(path)]
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}")
    for left in [one for one in path.parent.iterdir() if name.fullmatch(one.name)]:
        with suppress(FileNotFoundError):  # somebody who starts looks whether it can be exchanged
            # Another name of a file in use is no other key.
            if left.stat().st_ino not in kept:
                overwrite(left)
            left.unlink()


def give(descriptor: int, path: Path) -> None:
    """Let a new file belong to whom the one at ``path``, or else its folder, belongs."""
    if os.geteuid() != 0:
        return
    owner = (path if path.exists() else path.parent).stat()
    with suppress(OSError):  # a root that may not: then nobody else's server is there either
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _draft(path: Path, key: bytes) -> Path:
    draft = probe_of(path)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        give(descriptor, path)
        os.write(descriptor, key)
        os.fsync(descriptor)
    except BaseException:
        draft.unlink()  # a full disk: each minute would leave another one
        raise
    finally:
        os.close(descriptor)
    return draft
