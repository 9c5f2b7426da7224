"""Reading back, through HTTP, all that is kept of a driver."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import numpy as np
from aiohttp import ClientSession, ClientTimeout

from server.kit.wire import rfc3339
from tests.crash.history import COLUMNS, Fixes
from tests.crash.people import Person

SPAN: Final = timedelta(hours=1)
ANSWERED_S_MAX: Final = 60.0


class NotRead(Exception):
    """The server did not answer with a track."""


async def read_back(
    http: ClientSession, url: str, person: Person, since: datetime | None = None
) -> Fixes:
    """Return every position that the driver is shown of themself, hour by hour.

    Raises
    ------
    NotRead
    """
    since = since or person.hours.shift_began
    parts = []
    while since < datetime.now(UTC):
        parts += await _read(http, url, person, since)
        since += SPAN
    return Fixes(
        np.concatenate([one.time_ms for one in parts]),
        np.concatenate([one.values for one in parts], axis=1),
    )


async def _read(http: ClientSession, url: str, person: Person, since: datetime) -> list[Fixes]:
    """Return the pages of one span."""
    path = f"{url}/v1/drivers/{person.made.member_id}/track"
    query = {"from": rfc3339(since), "to": rfc3339(since + SPAN)}
    pages = []
    while True:
        async with http.get(
            path, params=query, headers=person.headers, timeout=ClientTimeout(ANSWERED_S_MAX)
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise NotRead(answer.status)
            page = await answer.json()
        pages.append(_fixes(page["columns"]))
        if page["next_cursor"] is None:
            return pages
        query["cursor"] = page["next_cursor"]


def _fixes(columns: dict[str, Any]) -> Fixes:
    times = [one.removesuffix("Z") for one in columns["recorded_at"]]
    time_ms = np.array(times, "datetime64[ms]").astype(np.int64)
    values = np.array([columns[name] for name in COLUMNS], np.float64)
    return Fixes(time_ms, values.reshape(len(COLUMNS), time_ms.size))
