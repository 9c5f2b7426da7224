"""``python -m tests.erasure_proof``: the whole proof. SIZE=smoke for a short one."""

import logging
import sys

import structlog

from tests.erasure_proof.proof import SIZES, prove
from tests.proofs import ended, size
from tests.stage import on_a_stage

if __name__ == "__main__":
    # Many failures are meant, and each is logged.
    logging.disable()
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    sys.exit(ended(on_a_stage(lambda at: prove(at, SIZES[size()]))))
