"""Every change to a ledger is found, and the first bad entry named.

The database's owner changes one thing at a time; the verifier must name the index. As a control,
a verifier that believes the stored hashes instead of computing them does the same work and must
miss some. ``SIZE=smoke python -m tests.ledger.mutations`` for a short run.
"""

import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Final
from unittest.mock import patch

from server.ledger import verify
from server.ledger.verify import Verdict
from tests.ledger.chains import Chain, Owner, bare_world, build
from tests.ledger.tampering import KINDS, Expected
from tests.proofs import Progress, Report, Row, size
from tests.stage import stage
from tests.world import World

SEED: Final = 20261122


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
    walk = verify._Check._entries  # noqa: SLF001 - the guard that is taken away
    stored = [b""]

    async def noting(check: verify._Check, last_index: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - stands in for a generator
        async for entry, there in walk(check, last_index):
            stored[0] = there
            yield entry, there

    with (
        patch.object(verify._Check, "_entries", noting),  # noqa: SLF001 - as above
        patch.object(verify, "link", lambda _before, _digest: stored[0]),
    ):
        _, verdict = await tampered(owner, chain, kind, seed)
    return verdict


async def prove(world: World, sizes: Sizes) -> Report:
    report = Report(name="ledger-mutations")
    chain = await build(world)
    before = await chain.verdict(world.owner)
    progress = Progress("mutations", sizes.each * len(KINDS) + sizes.control)
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


async def _on_a_stage(sizes: Sizes) -> Report:
    async with stage() as at:
        return await prove(await bare_world(at.vault, at.pool, at.owner), sizes)


def main() -> int:
    report = asyncio.run(_on_a_stage(SIZES[size()]))
    report.publish()
    return 1 if report.unmet else 0


if __name__ == "__main__":
    sys.exit(main())
