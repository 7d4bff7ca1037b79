"""Clocks are found by their case, however many run and whatever the statistics of the server say."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0010", "0009"
branch_labels = depends_on = None

_CLOCKS = "create index clock_of on clock (case_id);"


def upgrade() -> None:
    """Add the index."""
    run(_CLOCKS)
