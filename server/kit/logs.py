"""Logs: JSON lines with allow-listed fields, so that nothing personal can slip in."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

# What may stand in a log line. Everything else is dropped and counted in `dropped`.
FIELDS: Final = frozenset(
    {
        "event", "level", "timestamp", "logger",
        "endpoint", "method", "status", "duration_ms", "error", "at", "role",
        "host", "port", "ops_port", "database", "version", "migrations",
        "job", "step", "attempt", "count", "retry_after_s", "sqlstate",
    }
)  # fmt: skip


def configure(*, level: int = logging.INFO) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # aiohttp repeats malformed request lines, tokens included; asyncio repeats arguments.
    for name in ("aiohttp.server", "aiohttp.access", "aiohttp.web", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def keep_allowed(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop every field that is not on the list."""
    kept = {name: value for name, value in event.items() if name in FIELDS}
    dropped = len(event) - len(kept)
    if dropped:
        kept["dropped"] = dropped
    return kept
