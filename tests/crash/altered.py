"""The server with one change, for a control: each time it stores, it draws the upload ids anew.

``python -m tests.crash.altered serve`` runs it as ``python -m server serve`` does. When the answer
to a commit is lost and the committer tries again, the same upload is a second row.
"""

import sys
from collections.abc import Sequence
from uuid import UUID

from server.__main__ import main
from server.deposits import store
from server.deposits.model import Deposit
from server.deposits.store import Stored
from server.kit.db import Connection
from server.kit.ids import uuid7

_really_store = store.store


async def store_anew(conn: Connection, statement: str, deposits: Sequence[Deposit]) -> Stored:
    was: dict[UUID, UUID] = {}
    drawn = []
    for deposit in deposits:
        rows = []
        for row in deposit.rows:
            new = uuid7()
            was[new] = row.upload_id
            rows.append(row._replace(upload_id=new))
        drawn.append(deposit._replace(rows=tuple(rows)))
    stored = await _really_store(conn, statement, drawn)
    return Stored(
        locked=stored.locked,
        allowed=frozenset(was[one] for one in stored.allowed),
        stored=frozenset(was[one] for one in stored.stored),
        kept=stored.kept,
    )


if __name__ == "__main__":
    store.store = store_anew
    sys.exit(main())
