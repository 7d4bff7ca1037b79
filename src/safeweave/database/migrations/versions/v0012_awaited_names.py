"""Papers that name no visit wait under the names they would be found by, and are read no more with every batch.

Those that wait already lie under their sender still: the first batch of that sender looks at them once more.
"""

from safeweave.database.migrations.kit import run

revision, down_revision = "0012", "0011"
branch_labels = depends_on = None

_AWAITED = """
create table awaited_name (
    sender text not null,
    kind text not null,
    value text not null,
    event integer not null,
    primary key (sender, kind, value, event)
);
"""


def upgrade() -> None:
    """Make the table."""
    run(_AWAITED)
