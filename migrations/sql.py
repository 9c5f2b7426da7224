"""How a revision runs: the plain SQL file beside it, whole, in Alembic's transaction."""

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only


def run_beside(revision_file: str) -> None:
    """Run the ``.sql`` file that stands beside a revision's ``.py``."""
    sql = Path(revision_file).with_suffix(".sql").read_text("utf-8")
    # SQLAlchemy prepares each statement, and PostgreSQL prepares one at a time: hand the whole
    # file to asyncpg, which sends it as a script.
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("the migration connection is gone")
    await_only(driver.execute(sql))
