"""Logs: JSON lines with allow-listed fields, so that nothing personal can slip in."""

import asyncio
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from server.kit.problem import where

# What may stand in a log line. Everything else is dropped and counted in `dropped`.
FIELDS: Final = frozenset(
    {
        "event", "level", "timestamp", "logger",
        "endpoint", "method", "status", "duration_ms", "error", "at", "role",
        "host", "port", "ops_port", "database", "table", "version", "migrations",
        "process", "job", "company", "step", "attempt", "count", "retry_after_s", "sqlstate",
    }
)  # fmt: skip


TEXT_CHARS_MAX: Final = 200
_EVENT: Final = re.compile("[a-z][a-z0-9_]{0,63}")


def configure(*, level: int = logging.INFO, process: str | None = None) -> None:
    """Write what our own code logs; of what libraries log, only who, how bad and what kind.

    ``process`` stands in every line where there are several.
    """

    def naming(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        return event if process is None else {"process": process, **event}

    structlog.configure(
        processors=[
            naming,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryHandler()], force=True)


class LibraryHandler(logging.Handler):
    """Takes what libraries log and drops the text: it may repeat requests, values or tokens."""

    def emit(self, record: logging.LogRecord) -> None:
        _, error, _ = record.exc_info or (None, None, None)
        told = {} if error is None else where(error)
        level = logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING
        structlog.get_logger().log(level, "library", logger=record.name, **told)


def report_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that no task awaited: for ``loop.set_exception_handler``."""
    error = context.get("exception")
    told = {} if error is None else where(error)
    structlog.get_logger().error("unawaited_error", **told)


def keep_allowed(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop every field that is not on the list, and every value that is not plain and short."""
    kept = {name: _plain(value) for name, value in event.items() if name in FIELDS}
    dropped = len(event) - len(kept)
    if _EVENT.fullmatch(str(event.get("event"))) is None:
        kept["event"] = "unnamed"  # a sentence may have been put together from values
        dropped += 1
    if dropped:
        kept["dropped"] = dropped
    return kept


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value[:TEXT_CHARS_MAX]
    if value is None or isinstance(value, bool | int | float):
        return value
    return type(value).__name__
