"""``python -m tests.crash``: the whole proof. SIZE=smoke for a short one, SEED= to replay one."""

import asyncio
import sys

from server.kit import logs
from tests.crash.proof import SIZES, chosen_seed, prove
from tests.proofs import ended, size

if __name__ == "__main__":
    logs.configure()
    try:
        sys.exit(ended(asyncio.run(prove(SIZES[size()], chosen_seed()))))
    except KeyboardInterrupt:
        sys.exit(130)
