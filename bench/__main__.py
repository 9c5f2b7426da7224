"""All figures of the hot path in one run, each beside its baseline.

``python -m bench`` measures every section and, in full size, writes the figures into
docs/explanation/performance.md. ``python -m bench memory commit`` measures only these sections,
and leaves the page alone. ``SIZE=smoke`` for a short run.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from bench import (
    area,
    commit,
    ingest,
    live,
    losses,
    memory,
    overload,
    page,
    storage,
    withdrawals,
)
from bench.baseline import TABLE
from bench.fleet import Ground, make_fleet
from bench.measured import measured
from bench.servers import baseline, jolda
from bench.targets import TARGETS
from tests.proofs import FOLDER, Report, Size, size
from tests.stage import Stage

Section: TypeAlias = Callable[[Ground, Report], Awaitable[None]]

NAME: Final = "bench"
COMPANIES: Final = 4
DRIVERS: Final[Mapping[Size, int]] = {"smoke": 40, "full": 2_000}
# In this order: memory wants servers that have done nothing yet.
SECTIONS: Final[Mapping[str, Section]] = {
    "memory": memory.measure,
    "commit": commit.measure,
    "ingest": ingest.measure,
    "withdrawals": withdrawals.measure,
    "overload": overload.measure,
    "storage": storage.measure,
    "area": area.measure,
    "live": live.measure,
}


async def measure(
    at: Stage, report: Report, *, sections: Sequence[str] = tuple(SECTIONS), of: Size
) -> None:
    await at.owner.execute(TABLE)
    fleet = await make_fleet(at, DRIVERS[of], companies=COMPANIES)
    async with jolda(at) as ours, baseline(at) as plain:
        ground = Ground(at=at, size=of, fleet=fleet, ours=ours, plain=plain)
        for name in sections:
            sys.stderr.write(f"{name}\n")
            await SECTIONS[name](ground, report)
    if "live" in sections:
        await live.measure_workers(at, report, of=of)
    losses.add(report)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=(*SECTIONS, []), metavar="section")
    sections: list[str] = parser.parse_args().sections
    report = Report(name="-".join((NAME, *sections)))
    work = partial(measure, sections=sections or tuple(SECTIONS), of=size())
    status = measured(report, work)
    if not sections and size() == "full":
        text = page.written(FOLDER / f"{NAME}.json", TARGETS, report.rows)
        page.rewrite(NAME, text)
    return status


if __name__ == "__main__":
    sys.exit(main())
