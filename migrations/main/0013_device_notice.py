"""What each device showed its user, its permission switch, and what administrators attest."""

from migrations.sql import run_beside

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
