"""Shifts that ended because a backup was restored."""

from migrations.sql import run_beside

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
