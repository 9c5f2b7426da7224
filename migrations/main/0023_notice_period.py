"""Every edition but a first one is noticed 30 days before it is in force."""

from migrations.sql import run_beside

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
