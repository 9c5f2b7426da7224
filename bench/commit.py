"""The storing statement against a plain COPY: what the gate's lock and check cost PostgreSQL.

The same sealed rows go through the production statement into ``chunk`` and by COPY into a table
like it, over as many connections, in batches as large, each committed and flushed. The two take
turns.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, TypeAlias

import asyncpg

from bench.fleet import Ground
from bench.sealing import gate_of, sealed
from bench.servers import postgres_s, wal_bytes
from server.deposits import store
from server.deposits.committer import BATCH_MAX, CONNECTIONS
from server.deposits.model import Deposit
from tests.deposits import deposit
from tests.proofs import Progress, Report, Row, at_least
from tests.stage import Stage

TARGET: Final = {60: 0.7}
COLUMNS: Final = (
    "company_id",
    "driver_id",
    "last_at",
    "upload_id",
    "first_at",
    "stored_at",
    "count",
    "key_id",
    "blob",
)

Batch: TypeAlias = list[Deposit]
Way: TypeAlias = Callable[[int, Batch], Awaitable[None]]
"""Stores a batch over the connection of this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    rounds: int
    batches: int
    """Of each connection in a round."""


SIZES: Final = {"smoke": Sizes(rounds=2, batches=2), "full": Sizes(rounds=9, batches=6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    chunks: int
    seconds: float
    postgres_s: float
    wal_bytes: int


async def measure(ground: Ground, report: Report) -> None:
    at, sizes = ground.at, SIZES[ground.size]
    async with AsyncExitStack() as stack:
        committers, copiers = [], []
        for _ in range(CONNECTIONS):
            committers.append(await store.open_committer(at.main))
            stack.push_async_callback(committers[-1].close)
            copiers.append(await asyncpg.connect(at.main))
            stack.push_async_callback(copiers[-1].close)

        async def statement(number: int, batch: Batch) -> None:
            stored = await store.store(committers[number], store.STORE_OR_SKIP, batch)
            if len(stored.stored) != len(batch):
                raise RuntimeError("the statement did not store every chunk")

        async def copy(number: int, batch: Batch) -> None:
            await copiers[number].copy_records_to_table(
                "chunk_copy", records=[_record(one) for one in batch], columns=COLUMNS
            )

        for per_upload in (10, 60):
            # A table of its own for each, as small as what it is compared with.
            await at.owner.execute("CREATE TABLE chunk_copy (LIKE chunk INCLUDING ALL)")
            ways: dict[str, Way] = {"statement": statement, "copy": copy}
            runs = await _runs(ground, sizes, per_upload, ways)
            await at.owner.execute("DROP TABLE chunk_copy")
            _say(report, per_upload, runs["statement"], runs["copy"])


async def _runs(
    ground: Ground, sizes: Sizes, per_upload: int, ways: dict[str, Way]
) -> dict[str, list[Run]]:
    whole = await _batches(ground, sizes.rounds * sizes.batches, per_upload)
    progress = Progress(f"statement and COPY, {per_upload} per upload", sizes.rounds)
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for round_number in range(sizes.rounds):
        part = slice(round_number * sizes.batches, (round_number + 1) * sizes.batches)
        # Who is second finds the machine warm: they take turns in that, too.
        for name in sorted(ways, reverse=bool(round_number % 2)):
            runs[name].append(await _run(ground.at, ways[name], [of[part] for of in whole]))
        progress.step()
    return runs


async def _batches(ground: Ground, count: int, per_upload: int) -> list[list[Batch]]:
    """Return by connection its batches: a chunk of each of its drivers in every one."""
    each = min(BATCH_MAX, len(ground.fleet) // CONNECTIONS)
    by_connection = []
    for number in range(CONNECTIONS):
        drivers = ground.fleet[number * each : (number + 1) * each]
        gates = [await gate_of(ground.at, one.company_id, one.driver_id) for one in drivers]
        rows = [
            await sealed(
                ground.at, gate, seed, count=count * per_upload, step_s=2, per_upload=per_upload
            )
            for seed, gate in enumerate(gates)
        ]
        by_connection.append(
            [
                [
                    deposit(gate, row, stored_at=row.last_at)
                    for gate, row in zip(gates, turn, strict=True)
                ]
                for turn in zip(*rows, strict=True)
            ]
        )
    return by_connection


async def _run(at: Stage, way: Way, batches: Sequence[list[Batch]]) -> Run:
    async def lane(number: int) -> None:
        for batch in batches[number]:
            await way(number, batch)

    wal, cpu_s = await wal_bytes(at), postgres_s(at)
    began_s = time.perf_counter()
    await asyncio.gather(*(lane(number) for number in range(len(batches))))
    seconds = time.perf_counter() - began_s
    return Run(
        chunks=sum(len(batch) for of in batches for batch in of),
        seconds=seconds,
        postgres_s=postgres_s(at) - cpu_s,
        wal_bytes=await wal_bytes(at) - wal,
    )


def _record(one: Deposit) -> tuple[object, ...]:
    [row] = one.rows
    return (
        one.company_id,
        one.driver_id,
        row.last_at,
        row.upload_id,
        row.first_at,
        one.stored_at,
        row.size,
        row.key_id,
        row.blob,
    )


def _say(report: Report, per_upload: int, ours: list[Run], copied: list[Run]) -> None:
    def middle(runs: list[Run], of: Callable[[Run], float]) -> float:
        return median(of(run) for run in runs)

    rate, plain = (middle(runs, lambda run: run.chunks / run.seconds) for runs in (ours, copied))
    figure = f"storing statement against COPY of the same chunks, {per_upload} per upload"
    target = TARGET.get(per_upload)
    note = (
        f"{rate:.0f} and {plain:.0f} chunks/s, {CONNECTIONS} connections,"
        f" {ours[0].chunks} chunks a run; baseline: COPY"
    )
    if target is None:
        row = Row(figure=figure, value=round(rate / plain, 2), unit="x", baseline=1)
    else:
        row = at_least(figure, rate / plain, target, unit="x", baseline=1)
    report.add(replace(row, note=note))
    cpu_us, plain_us = (
        middle(runs, lambda run: 1e6 * run.postgres_s / run.chunks) for runs in (ours, copied)
    )
    report.add(
        Row(
            figure=f"CPU of PostgreSQL per chunk, storing statement, {per_upload} per upload",
            value=round(cpu_us, 1),
            unit="us",
            baseline=round(plain_us, 1),
            note="baseline: COPY",
        )
    )
    wal, plain_wal = (
        middle(runs, lambda run: run.wal_bytes / run.chunks) for runs in (ours, copied)
    )
    report.add(
        Row(
            figure=f"WAL per chunk, storing statement, {per_upload} per upload",
            value=round(wal),
            unit="bytes",
            baseline=round(plain_wal),
            note="baseline: COPY",
        )
    )
