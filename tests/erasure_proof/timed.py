"""Rows of what takes time: an erasure, the exchange of many keys, a backup and its restore."""

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.erasure_proof import disaster, served, times
from tests.erasure_proof.rows import zero
from tests.erasure_proof.scene import Scene
from tests.proofs import Report, Row, at_most

ERASED_S_MAX: Final = 60.0
DATABASE_MS_MAX: Final = 100.0
EXCHANGED_S_MAX: Final = 60.0
BACKED_UP_S_MAX: Final = 120.0
RESTORED_S_MAX: Final = 120.0
GB: Final = 1_000_000_000


async def erasures(
    at: Scene, report: Report, *, positions: int, times_of: int, is_timed: bool
) -> None:
    """Erase one driver after another, each with so many positions."""
    done = [await times.erase(at, positions, is_timed=is_timed) for _ in range(times_of)]
    note = f"{positions:,} positions in {done[0].rows:,} rows"
    longest_s = max(one.erased_s for one in done)
    each = sorted(one.database_ms for one in done)
    median = f"median of {', '.join(f'{one:.0f}' for one in each)}; {note}"
    _add(
        report,
        at_most("grace over to erased", longest_s, ERASED_S_MAX, unit="s", note=f"longest; {note}"),
        at_most(
            "database time of it", statistics.median(each), DATABASE_MS_MAX, unit="ms", note=median
        ),
        is_timed=is_timed,
    )


async def exchange(at: Scene, report: Report, *, keys: int, is_timed: bool) -> None:
    """Exchange everything above so many keys."""
    done = await times.exchange(at, keys)
    name = f"exchange: {done.keys:,} keys wrapped anew"
    _add(
        report,
        at_most(name, done.seconds, EXCHANGED_S_MAX, unit="s"),
        is_timed=is_timed,
    )
    report.add(
        zero("keys that nobody opens after it", done.unread, unit=f"of {keys:,}", control=done.keys)
    )


async def recovery(at: Scene, report: Report, *, bytes_min: int, is_timed: bool) -> None:
    """Back a database of this size up, and restore it."""
    with tempfile.TemporaryDirectory(prefix="jolda-disaster-") as name:
        done = await disaster.recover(at, Path(name), bytes_min=bytes_min)
    size = f"main has {done.database_bytes / GB:.2f} GB, {done.rows:,} rows of positions"
    dumped = f"{size}; {done.dump_bytes / GB:.2f} GB written"
    keys = f"sums checked; keys before it in {done.keys_s:.1f} s"
    _add(
        report,
        at_most("jolda backup", done.backup_s, BACKED_UP_S_MAX, unit="s", note=dumped),
        at_most("jolda restore --main", done.restore_s, RESTORED_S_MAX, unit="s", note=keys),
        is_timed=is_timed,
    )
    report.add(
        zero(
            "drivers whose rows are others once restored",
            done.changed,
            control=done.changed_if_one_is,
            note="control: one bit of one row is turned over",
        )
    )
    report.add(
        zero(
            "texts of the living unread once both databases are restored",
            done.unread,
            control=done.unread_if_erased,
            note="control: the same of somebody who is erased",
        )
    )


async def serving(at: Scene, report: Report) -> None:
    """Let a server of its own track and hand out somebody, and erase them."""
    with tempfile.TemporaryDirectory(prefix="jolda-served-") as name:
        done = await served.serve(at, Path(name))
    unit = f"of {done.exports} files"
    report.add(
        zero(
            "exports over HTTP with the erased in them",
            done.told_after,
            unit=unit,
            control=done.told_before,
            note="control: before",
        )
    )
    report.add(
        zero(
            "files with the erased in clear: the server's log, its folder, temporary ones",
            done.kept,
            control=done.told_before,
            note=f"{done.log_lines} lines of log; control: what was downloaded",
        )
    )


def _add(report: Report, *rows: Row, is_timed: bool) -> None:
    """Add rows that promise a time, or only tell it where it is not meant."""
    for row in rows:
        report.add(row if is_timed else replace(row, target=None, met=None))
