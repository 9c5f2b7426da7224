"""What an upload becomes before it is stored, under a gate that is read already."""

from datetime import datetime
from typing import Any

from server.deposits.model import Deposit
from server.gate.model import Gate
from server.kit.ids import uuid7
from server.tracking.model import ChunkRow
from tests.world import NOW


def row(*, size: int = 1, at: datetime = NOW, blob: bytes = b"sealed") -> ChunkRow:
    return ChunkRow(uuid7(), at, at, size, uuid7(), blob)


def deposit(gate: Gate, *rows: ChunkRow, **changes: Any) -> Deposit:
    """Return what is stored under this gate: these rows, or one. ``changes`` name its members."""
    return Deposit(
        company_id=gate.company_id,
        driver_id=gate.driver_id,
        epoch=gate.epoch,
        rev=gate.rev,
        credential_epoch=gate.credential_epoch,
        key_epoch=gate.key_epoch,
        only_latest=False,
        stored_at=NOW,
        rows=rows or (row(),),
    )._replace(**changes)
