"""The pieces for a PostgreSQL server, on a real one: its settings are known, its rights are enough and no more."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from safeweave import payments
from safeweave.commands.bench.stays import SENDER, stays_of
from safeweave.database import Database
from safeweave.database.tables import statements
from safeweave.exchange import inbound
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave_simulator.postgresql import Server, programs

FOLDER = Path(__file__).resolve().parents[2] / "deploy/postgresql"
PASSWORDS = {role: f"secret of {role}" for role in ("safeweave_owner", "safeweave", "safeweave_reader")}
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_preload_libraries": ""}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        programs()
    except Exception as missing:
        pytest.fail(str(missing), pytrace=False)
    found = Server.temporary(QUICK).start()
    try:
        yield found
    finally:
        found.remove()


@pytest.fixture(scope="module")
def urls(server: Server) -> dict[str, str]:
    """The address of the database for each role, after roles.sql; the owner has made the tables."""
    first, then = re.split(r"^\\connect safeweave$", (FOLDER / "roles.sql").read_text(encoding="utf-8"), flags=re.M)
    for database, script in (("postgres", first), ("safeweave", then)):
        for statement in statements(script):
            server.run(statement, database)
    for role, password in PASSWORDS.items():
        server.run(f"alter role {role} password '{password}'")
    plain = server.url("safeweave").replace(f"postgres:{server.password}", "%s")
    found = {role: plain % f"{role}:{password.replace(' ', '%20')}" for role, password in PASSWORDS.items()}
    Database(found["safeweave_owner"]).close()
    return found


def test_the_server_knows_every_setting(server):
    text = (FOLDER / "safeweave.conf").read_text(encoding="utf-8")
    with (server.data / "postgresql.conf").open("a") as file:
        file.write(f"\n{text}")
    wrong = server.run(
        "select name, error from pg_file_settings where error is not null and error <> 'setting could not be applied'"
    )
    assert wrong == []
    given = dict(server.run("select name, setting from pg_file_settings"))
    assert {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}.items() <= given.items()
    assert int(given["max_locks_per_transaction"]) >= 256


def test_what_rows_hold_is_not_logged():
    text = (FOLDER / "safeweave.conf").read_text(encoding="utf-8")
    for line in (
        "log_parameter_max_length = 0",
        "log_parameter_max_length_on_error = 0",
        "log_error_verbosity = terse",
    ):
        assert f"\n{line}" in text
    assert not re.search(r"^log_statement\b", text, re.M)


@pytest.mark.parametrize("file", ["pg_hba.conf", "compose_hba.conf"])
def test_access_rules_are_read_and_name_only_roles_there_are(server, urls, file):
    (server.data / "pg_hba.conf").write_text((FOLDER / file).read_text(encoding="utf-8"), encoding="utf-8")
    rules = server.run("select user_name, error from pg_hba_file_rules")
    assert [error for _, error in rules if error and "SSL is disabled" not in str(error)] == []
    roles = {role for (role,) in server.run("select rolname::text from pg_roles")}
    assert {name for names, _ in rules for name in names} <= roles


def test_over_the_network_only_with_tls_and_password():
    rules = [line.split() for line in (FOLDER / "pg_hba.conf").read_text(encoding="utf-8").splitlines()]
    over = [rule for rule in rules if rule and rule[0].startswith("host")]
    assert {(rule[0], rule[4]) for rule in over} == {("hostssl", "scram-sha-256")}


def test_the_rights_of_a_worker_are_enough_to_pay_a_stay(urls, tmp_path):
    node = open_node(Settings(home=tmp_path, database=urls["safeweave"]))
    try:
        stays = stays_of(node)
        stays.register(node, tmp_path, range(1))
        message = inbound.open_message(stays.whole(0), SENDER, node.limits, "application/fhir+json")

        def take(tx):
            receipts, told = inbound.take(tx, [message], node.clock())
            return receipts, told, node.clock()

        (receipt,) = node.worker.accept(take)
        assert receipt.status == "taken"
        node.worker.drain()
        with node.database.reading() as tx:
            assert tx.rows("select stage from claim_case") == [("closed",)]
            assert payments.trial_balance_fen(tx) == 0
    finally:
        node.close()


@pytest.mark.parametrize(
    "statement", ["drop table message", "truncate journal_entry", "create table mine (id integer)"]
)
def test_a_worker_may_not_change_the_tables_themselves(urls, statement):
    with (
        psycopg.connect(urls["safeweave"], autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_a_reader_reads_and_no_more(urls):
    with psycopg.connect(urls["safeweave_reader"], autocommit=True) as connection:
        connection.execute("select count(*) from claim_case")
        connection.execute("select json_extract('{\"a\": 1}', '$.a')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from message")
