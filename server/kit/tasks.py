"""How tasks that run beside the others are ended."""

import asyncio
from typing import Any, Final

CANCEL_AGAIN_S: Final = 0.5


async def ended(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel the tasks, and return once all are done. What they raise is forgotten.

    Once is not enough: a connection that breaks while a cancelled task gives it back raises in the
    place of the cancellation, and who takes that for an outage goes on.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
