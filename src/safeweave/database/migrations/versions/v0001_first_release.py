"""The tables of version 0.1.0."""

from safeweave.database.migrations.kit import run_file

revision, down_revision = "0001", None
branch_labels = depends_on = None


def upgrade() -> None:
    """Make them."""
    run_file(__file__)
