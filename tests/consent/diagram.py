"""The state machine of consents as it is drawn in the docs, from the table itself.

``python -m tests.consent.diagram`` writes it anew.
"""

from pathlib import Path
from typing import Final

from server.consent.model import CONSENT_TRANSITIONS, WHO_MAY, ConsentAct, ConsentState

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "explanation" / "consent-states.md"
_BEGIN: Final = "<!-- drawn from the table: python -m tests.consent.diagram -->\n"
_END: Final = "<!-- end -->\n"


def drawn() -> str:
    """Return the diagram and the tables, from the code."""
    return f"{_BEGIN}\n{_diagram()}\n{_acts()}\n{_table()}\n{_END}"


def written(document: str) -> str:
    """Return the document with its drawn part made anew."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + drawn() + after


def _diagram() -> str:
    steps = [
        f"    {before.value} --> {after.value}: {act.value}"
        for (before, act), after in CONSENT_TRANSITIONS.items()
        if before is not after
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> not_asked", *steps, "```", ""])


def _acts() -> str:
    rows = [
        f"| `{act.value}` | {', '.join(sorted(actor.value for actor in WHO_MAY[act]))} |"
        for act in ConsentAct
    ]
    return "\n".join(["| act | who may |", "|---|---|", *rows, ""])


def _table() -> str:
    acts = list(ConsentAct)
    head = f"| state | {' | '.join(act.value for act in acts)} |"
    rows = [
        f"| `{state.value}` | {' | '.join(_cell(state, act) for act in acts)} |"
        for state in ConsentState
    ]
    return "\n".join([head, "|---" * (len(acts) + 1) + "|", *rows, ""])


def _cell(state: ConsentState, act: ConsentAct) -> str:
    after = CONSENT_TRANSITIONS.get((state, act))
    if after is None:
        return "refused"
    return "done already" if after is state else f"`{after.value}`"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
