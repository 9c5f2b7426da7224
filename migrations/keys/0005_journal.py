"""The journal of acts that took something away, and what was restored of `main`."""

from migrations.sql import run_beside

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
