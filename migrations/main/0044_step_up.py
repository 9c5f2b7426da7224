"""Until when a session counts as proven anew."""

from migrations.sql import run_beside

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
