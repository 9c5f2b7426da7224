"""Every change to a ledger is found, and the first bad entry named.

The database's owner changes one thing at a time; the verifier must name the index. As a control,
a verifier that believes the stored hashes instead of computing them does the same work and must
miss some. ``SIZE=smoke python -m tests.ledger.mutations`` for a short run.
"""

import random
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final
from unittest.mock import patch

from server.ledger import verify
from server.ledger.model import Entry
from server.ledger.verify import Verdict
from tests.ledger.chains import Chain, Owner, bare_world, build
from tests.ledger.consent_tampering import CHANGED_RECORD, CONSENT_KINDS
from tests.ledger.tampering import LEDGER_KINDS, Expected, Tamper
from tests.proofs import Progress, Report, Row, ended, size
from tests.stage import Stage, on_a_stage
from tests.world import World

SEED: Final = 20261122
KINDS: Final[dict[str, Tamper]] = LEDGER_KINDS | CONSENT_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    each: int
    """Mutations of each kind."""
    control: int
    """Flipped bytes that a believing verifier is shown."""


SIZES: Final = {"smoke": Sizes(each=40, control=40), "full": Sizes(each=1_000, control=500)}


@dataclass(slots=True, kw_only=True)
class Outcome:
    tried: int = 0
    named: int = 0


async def tampered(owner: Owner, chain: Chain, kind: str, seed: int) -> tuple[Expected, Verdict]:
    """Change something and look; take it back."""
    rng = random.Random(seed)  # noqa: S311 - which change, no secret
    around = owner.transaction()
    await around.start()
    try:
        # What the owner of a database can do: foreign keys do not hold them.
        await owner.execute("SET LOCAL session_replication_role = replica")
        expected = await KINDS[kind](owner, chain, rng)
        return expected, await chain.verdict(owner)
    finally:
        await around.rollback()


def is_named(expected: Expected, verdict: Verdict) -> bool:
    return verdict.first_bad_index == expected.index and verdict.reason in expected.reasons


async def believing(owner: Owner, chain: Chain, kind: str, seed: int) -> Verdict:
    """Look with a verifier that takes each stored hash for the right one."""
    follow = verify._Check._follow  # noqa: SLF001 - the guard that is taken away
    stored = [b""]

    async def noting(check: verify._Check, entry: Entry, there: bytes) -> None:
        stored[0] = there
        await follow(check, entry, there)

    with (
        patch.object(verify._Check, "_follow", noting),  # noqa: SLF001 - as above
        patch.object(verify, "link", lambda _before, _digest: stored[0]),
    ):
        _, verdict = await tampered(owner, chain, kind, seed)
    return verdict


async def prove(world: World, sizes: Sizes) -> Report:
    report = Report(name="ledger-mutations")
    chain = await build(world)
    before = await chain.verdict(world.owner)
    progress = Progress("mutations", sizes.each * len(KINDS) + 2 * sizes.control)
    for kind in KINDS:
        wrong: Counter[str] = Counter()
        for number in range(sizes.each):
            expected, verdict = await tampered(world.owner, chain, kind, SEED + number)
            if not is_named(expected, verdict):
                wrong[f"{expected} but {verdict}, seed {SEED + number}"] += 1
            progress.step()
        report.add(
            Row(
                figure=f"named the first bad entry: {kind}",
                value=sizes.each - wrong.total(),
                target=f"= {sizes.each}",
                met=not wrong,
                note="; ".join(wrong)[:300],
            )
        )
    missed = 0
    for number in range(sizes.control):
        verdict = await believing(world.owner, chain, "flip a byte of an entry", SEED + number)
        missed += verdict.sound
        progress.step()
    report.add(
        Row(
            figure="flipped bytes missed by a verifier that believes stored hashes",
            value=missed,
            target="> 0",
            met=missed > 0,
            control=missed,
            note=f"of {sizes.control}",
        )
    )
    missed = 0
    chain_alone = replace(chain, compared=False)
    for number in range(sizes.control):
        _, verdict = await tampered(world.owner, chain_alone, CHANGED_RECORD, SEED + number)
        missed += verdict.sound
        progress.step()
    report.add(
        Row(
            figure="changed consent records missed by a verifier of the chain alone",
            value=missed,
            target=f"= {sizes.control}",
            met=missed == sizes.control,
            control=missed,
        )
    )
    after = await chain.verdict(world.owner)
    report.add(
        Row(
            figure="the same chain untouched, before and after: bad entries",
            value=0 if before.sound and after.sound else 1,
            target="= 0",
            met=before.sound and after.sound,
            note=f"{after.entries} entries, signed up to {after.signed_until}",
        )
    )
    return report


async def on_it(at: Stage) -> Report:
    return await prove(await bare_world(at.vault, at.pool, at.owner), SIZES[size()])


if __name__ == "__main__":
    sys.exit(ended(on_a_stage(on_it)))
