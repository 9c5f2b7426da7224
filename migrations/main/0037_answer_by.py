"""Until when a driver's request for erasure has to be answered."""

from migrations.sql import run_beside

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
