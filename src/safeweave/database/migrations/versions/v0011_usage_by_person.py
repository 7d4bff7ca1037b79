"""Usage and turns stand under the person first: what is new then stands together, however many policies there are.

An id of a person begins with its hour, that of a policy is made of its number and may fall anywhere in an index: in a
store of millions each claim changed pages of its own, all of which were read and written whole.
"""

from safeweave.database.migrations.kit import is_postgresql, remade, run

revision, down_revision = "0011", "0010"
branch_labels = depends_on = None

_KEY = "primary key (person, policy, determination, scope, kind, id, reverses)"
_USAGE = f"""
create table usage_addition (
    policy text not null,
    person text not null,
    shard text not null,
    determination text not null,
    scope text not null,
    kind text not null,
    id text not null,
    amount integer not null,
    reverses text not null default '',
    {_KEY}
);
create index usage_addition_by on usage_addition (determination);
create index usage_addition_reversed on usage_addition (reverses) where reverses <> '';
"""


def upgrade() -> None:
    """Make the keys anew."""
    run(
        "drop index determination_once;",
        "create unique index determination_once on determination (person, policy, sequence);",
    )
    if is_postgresql():
        run(f"alter table usage_addition drop constraint usage_addition_pkey, add {_KEY};")
        return
    held = remade("usage_addition", _USAGE, indexes=("usage_addition_by", "usage_addition_reversed"))
    same = "policy, person, shard, determination, scope, kind, id, amount, reverses"
    run(f"insert into usage_addition ({same}) select {same} from {held};", f"drop table {held};")
