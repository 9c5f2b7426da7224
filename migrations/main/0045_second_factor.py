"""The staff's second factor at a log-in."""

from migrations.sql import run_beside

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
