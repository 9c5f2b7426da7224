"""What the acts' proof judges by: what the phones were told, and what PostgreSQL committed when.

A trigger of the proof's own takes a snapshot whenever a gate changes, while the act that changes
it still holds it. A row that this snapshot does not see was committed later than the act looked,
however soon after the answer that was: it is late.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.kit.db import ROLE_APP, Connection
from server.tracking.model import from_ms, to_ms

WITNESS: Final = f"""
    CREATE TABLE act_snapshot (driver_id uuid PRIMARY KEY, snapshot pg_snapshot NOT NULL);
    GRANT SELECT ON act_snapshot TO {ROLE_APP};
    CREATE FUNCTION take_act_snapshot() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO act_snapshot VALUES (NEW.driver_id, pg_current_snapshot())
        ON CONFLICT (driver_id) DO UPDATE SET snapshot = excluded.snapshot;
        RETURN NULL;
    END $$;
    CREATE TRIGGER take_act_snapshot AFTER UPDATE ON gate
        FOR EACH ROW EXECUTE FUNCTION take_act_snapshot();
"""  # noqa: S608 - a constant of ours


class Stop(StrEnum):
    """The acts that stop recording."""

    WITHDRAW = "withdraw"
    PAUSE = "pause"
    END = "end of shift"
    BLOCK = "block"
    LOG_OUT = "log-out"
    ERASE = "erase"


class Became(StrEnum):
    """What an upload was told."""

    STORED = "stored"
    REFUSED = "refused"
    """Its position, or the device: nothing was stored."""
    BUSY = "busy"
    """The gate is changing: nothing was stored."""
    UNKNOWN = "not acknowledged"
    """It may be stored or not, never twice."""
    LOST = "lost"
    """No answer came: the same."""
    FAILED = "failed"
    """The server broke: there is no such answer."""


ALLOWED: Final[Mapping[Became, Sequence[int]]] = {
    Became.STORED: (1,),
    Became.REFUSED: (0,),
    Became.BUSY: (0,),
    Became.UNKNOWN: (0, 1),
    Became.LOST: (0, 1),
    Became.FAILED: (),
}
"""How often an upload may be stored, by what it was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One act with the uploads around it."""

    stop: Stop
    company_id: UUID
    driver_id: UUID
    snapshot: str
    """What was committed when the act looked last."""
    became: Mapping[int, Became]
    """By the position's time in milliseconds, which no other upload of the driver has."""
    met: AbstractSet[int]
    """Those that were under way when the act was asked for, or sent before it was answered."""
    after: int
    """Uploads that were sent after the act was answered."""
    took_ms: float


@dataclass(slots=True, kw_only=True)
class Found:
    """What a phase of the proof found."""

    tries: Counter[Stop] = field(default_factory=Counter)
    met: Counter[Stop] = field(default_factory=Counter)
    """Uploads that were under way while the act was."""
    met_and_stored: Counter[Stop] = field(default_factory=Counter)
    late: Counter[Stop] = field(default_factory=Counter)
    """Rows that were committed after the act."""
    mismatched: int = 0
    """Uploads that were told one thing while the other is stored."""
    after: int = 0
    uploads: Counter[Became] = field(default_factory=Counter)
    told_of_late: Counter[Became] = field(default_factory=Counter)
    """What the uploads whose rows are late were told."""
    took_ms: dict[Stop, list[float]] = field(default_factory=dict)

    def judge(self, one: Try, stored: Counter[int], late: Counter[int]) -> None:
        self.tries[one.stop] += 1
        self.met[one.stop] += len(one.met)
        self.met_and_stored[one.stop] += len(one.met & stored.keys())
        self.late[one.stop] += late.total()
        self.after += one.after
        self.took_ms.setdefault(one.stop, []).append(one.took_ms)
        for at_ms, became in one.became.items():
            self.uploads[became] += 1
            self.told_of_late[became] += late[at_ms]
            self.mismatched += stored[at_ms] not in ALLOWED[became]


async def judged(conn: Connection, tries: Sequence[Try]) -> Found:
    """Judge the tries by what is stored; every upload has to have come to its end."""
    rows = await conn.fetch(
        """
        SELECT t.place - 1 AS place, c.last_at,
               NOT pg_visible_in_snapshot(c.xmin::text::xid8, t.snapshot::pg_snapshot) AS late
          FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[])
               WITH ORDINALITY AS t (company_id, driver_id, first_at, last_at, snapshot, place)
          JOIN chunk c ON c.company_id = t.company_id AND c.driver_id = t.driver_id
                      AND c.last_at BETWEEN t.first_at AND t.last_at
        """,
        [one.company_id for one in tries],
        [one.driver_id for one in tries],
        [from_ms(min(one.became)) for one in tries],
        [from_ms(max(one.became)) for one in tries],
        [one.snapshot for one in tries],
    )
    stored: list[Counter[int]] = [Counter() for _ in tries]
    late: list[Counter[int]] = [Counter() for _ in tries]
    for row in rows:
        at_ms = to_ms(row["last_at"])
        stored[row["place"]][at_ms] += 1
        late[row["place"]][at_ms] += row["late"]
    found = Found()
    for place, one in enumerate(tries):
        found.judge(one, stored[place], late[place])
    return found
