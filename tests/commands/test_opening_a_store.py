"""A home that holds something else, or a store of another version, is refused in words and left as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from safeweave.database import SCHEMA_VERSION, Database
from safeweave.database.sqlite import APPLICATION_ID
from safeweave.errors import Conflict, StoreUnavailable
from safeweave.main import main
from safeweave.settings import Settings


def written(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def header(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        return (
            connection.execute("pragma application_id").fetchone()[0],
            connection.execute("pragma user_version").fetchone()[0],
        )


def test_a_store_says_whose_it_is_and_opens_again(tmp_path):
    path = tmp_path / "safeweave.db"
    for _ in range(2):
        Database(path).close()
        assert header(path) == (APPLICATION_ID, SCHEMA_VERSION)


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "safeweave.db"
    path.touch()
    Database(path).close()
    assert header(path) == (APPLICATION_ID, SCHEMA_VERSION)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"hello\n"), "no database"),
        (lambda path: path.write_bytes(b"hello\n" * 1000), "no database"),
        (lambda path: written(path, "create table album (id integer)"), "another program"),
        (lambda path: written(path, "pragma application_id = 42"), "another program"),
        (
            lambda path: written(
                path, f"pragma application_id = {APPLICATION_ID}", f"pragma user_version = {SCHEMA_VERSION + 1}"
            ),
            f"data version {SCHEMA_VERSION + 1}, this one is {SCHEMA_VERSION}",
        ),
        (lambda path: written(path, f"pragma application_id = {APPLICATION_ID}", "create table event (id)"), "earlier"),
    ],
)
def test_what_is_no_store_of_ours_is_refused_and_left_as_it_was(tmp_path, make, said):
    path = tmp_path / "safeweave.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(Conflict, match=said) as refused:
        Database(path)
    assert str(path) in str(refused.value)
    assert "--home" in str(refused.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_command_says_it_in_one_sentence_of_the_readers_language(tmp_path, capsys):
    path = Settings(home=tmp_path).store
    path.write_bytes(b"hello\n")
    assert main(["--home", str(tmp_path), "--language", "zh", "case", "list"]) == 1
    said = capsys.readouterr().err
    assert said == f"{path} 不是数据库；请移走它或从备份恢复，或用 --home 指定别的目录\n"
    path.unlink()
    path.mkdir()
    assert main(["--home", str(tmp_path), "--language", "en", "case", "list"]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_a_store_cut_short_is_said_without_a_traceback(tmp_path, capsys):
    path = Settings(home=tmp_path).store
    Database(path).close()
    path.write_bytes(path.read_bytes()[: 4096 * 3 + 100])
    with pytest.raises((Conflict, StoreUnavailable)):
        Database(path)
    assert main(["--home", str(tmp_path), "case", "list"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
