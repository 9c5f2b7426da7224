"""How many days of a driver's track a company keeps."""

from migrations.sql import run_beside

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
