"""What drivers say of the stops of their routes."""

from migrations.sql import run_beside

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
