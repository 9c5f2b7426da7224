"""When each consent runs out stands in the gate."""

from migrations.sql import run_beside

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
