"""``python -m tests.faults``: every operation of the flows fails, then the disk does."""

import argparse
import logging
import sys

import structlog

from tests.faults import disks, proof
from tests.faults.proof import SIZES, Sizes
from tests.proofs import ended, size
from tests.stage import on_a_stage


def main() -> int:
    # Thousands of failures are meant, and each is logged.
    logging.disable()
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--flow", help="only this flow")
    parser.add_argument("--failure", help="only this kind of failure")
    chosen = parser.parse_args()
    if chosen.flow or chosen.failure:
        sizes = Sizes(
            flows=(chosen.flow,) if chosen.flow else None,
            failures=(chosen.failure,) if chosen.failure else None,
            step=1,
            controls=(),
        )
        return ended(on_a_stage(lambda at: proof.prove(at, sizes)))
    report = on_a_stage(lambda at: proof.prove(at, SIZES[size()]))
    disks.add_to(report, size())
    return ended(report)


if __name__ == "__main__":
    sys.exit(main())
