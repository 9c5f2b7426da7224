"""Questions about policies, and what was clarified before an acceptance."""

from migrations.sql import run_beside

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
