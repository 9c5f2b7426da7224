"""Companies whose notices know no alerts have none until they choose some."""

from migrations.sql import run_beside

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
