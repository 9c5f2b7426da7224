"""Rows of the proof's table: what has to be nothing, and what has to be all."""

from tests.erasure.person import Person
from tests.erasure_proof.copies import Opened
from tests.proofs import Row


def nothing(figure: str, found: Opened) -> Row:
    return Row(
        figure=f"opened: {figure}",
        value=found.opened,
        unit=f"of {found.values} sealed values",
        target="= 0",
        met=found.values > 0 and found.opened == found.canaries == 0,
        note=f"{found.canaries} texts read",
    )


def everything_of(figure: str, found: Opened, person: Person) -> Row:
    return Row(
        figure=f"opened: {figure}",
        value=found.opened,
        unit=f"of {found.values} sealed values",
        target="all",
        met=found.values == found.opened > 0 and found.canaries == len(person.canaries),
        note=f"{found.canaries} of {len(person.canaries)} texts read",
    )


def zero(
    figure: str, value: int, *, unit: str = "", control: int | None = None, note: str = ""
) -> Row:
    """Return a row that is met by nothing; a control that found nothing either proves nothing."""
    return Row(
        figure=figure,
        value=value,
        unit=unit,
        target="= 0",
        met=value == 0 and control != 0,
        control=control,
        note=note,
    )
