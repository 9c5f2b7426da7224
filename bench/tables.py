"""What PostgreSQL says of its tables while a load lasts: rows, dead rows, bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.memory import fit
from tests.proofs import Report, Row
from tests.stage import Stage

TOLD: Final = ("chunk", "latest_position", "gate", "gate_closing", "refusal_count")
"""The tables that uploads and compaction write; all others are told as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    live: int
    dead: int
    table_bytes: int
    index_bytes: int
    vacuums: int


async def tables(at: Stage) -> dict[str, Table]:
    """Return by name what is known of every table."""
    rows = await at.owner.fetch(
        "SELECT relname, n_live_tup, n_dead_tup, pg_table_size(relid), pg_indexes_size(relid),"
        "       autovacuum_count + vacuum_count"
        "  FROM pg_stat_user_tables"
    )
    return {
        name: Table(live=live, dead=dead, table_bytes=size, index_bytes=index_size, vacuums=vacuums)
        for name, live, dead, size, index_size, vacuums in rows
    }


def say(
    report: Report,
    times_s: Sequence[float],
    samples: Sequence[dict[str, Table]],
    *,
    settled_s: float,
) -> None:
    """Tell of each table how many dead rows there are, and whether they become more."""
    places = [place for place, at_s in enumerate(times_s) if at_s >= settled_s]
    for name in TOLD:
        dead = [samples[place][name].dead for place in places]
        last = samples[-1][name]
        slope = fit([times_s[place] for place in places], [float(one) for one in dead]).per_hour
        report.add(
            Row(
                figure=f"soak: dead rows of {name} at the end",
                value=last.dead,
                note=f"at most {max(dead)}, {slope:+.0f} an hour by a straight line; {last.live}"
                f" live rows; vacuumed {last.vacuums} times; table"
                f" {last.table_bytes / 1e6:.1f} MB, indexes {last.index_bytes / 1e6:.1f} MB",
            )
        )
    rest = {name: one.dead for name, one in samples[-1].items() if name not in TOLD}
    most = max(rest, key=rest.__getitem__)
    report.add(
        Row(
            figure="soak: dead rows of all other tables at the end",
            value=sum(rest.values()),
            note=f"most in {most}: {rest[most]}",
        )
    )
