"""Links that may still show something are found by an index; a screen's counter of its own."""

from migrations.sql import run_beside

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
