"""A deposit in line: from when, until when, and whom to tell what became of it."""

from collections.abc import Callable
from typing import Final, TypeAlias

import structlog

from server.deposits.model import Deposit, Receipt, UploadsBusy
from server.kit.problem import where

log = structlog.get_logger(__name__)

WAIT_S_MAX: Final = 1.0
"""How long an upload waits for its turn and for its gate before it is given up."""

Answer: TypeAlias = Callable[["Receipt | UploadsBusy"], None]


class Waiting:
    """A deposit that is to be answered once. Times are the event loop's."""

    __slots__ = ("_answer", "deposit", "in_line_since", "until")

    def __init__(self, deposit: Deposit, answer: Answer, now_s: float) -> None:
        self.deposit = deposit
        self.until = now_s + WAIT_S_MAX
        self.in_line_since = now_s
        """Not the time behind an upload of the same driver, which is nobody else's delay."""
        self._answer: Answer | None = answer

    def answer(self, answer: Receipt | UploadsBusy) -> None:
        """Tell what became of it, unless that was told."""
        tell, self._answer = self._answer, None
        if tell is None:
            return
        try:
            tell(answer)
        except Exception as error:  # noqa: BLE001 - a fault of whoever asked; the others wait
            log.error("answer_failed", **where(error))  # noqa: TRY400 - never the text

    @property
    def is_answered(self) -> bool:
        return self._answer is None
