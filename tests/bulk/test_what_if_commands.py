"""`safeweave what-if` as people meet it: what it shows, what it says when asked wrongly, and a run that is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bulk.test_what_if import EXPENSE, WITHOUT_DEDUCTIBLE, lives
from given import House, a_house
from payments.given_payments import RunningBank
from safeweave.bulk.extract import Manifest, Part
from safeweave.main import main
from stores import on
from waiting import until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, one_bank: RunningBank) -> Path:
    """The home of a node in which a person has lived, with its extract."""
    folder = tmp_path_factory.mktemp("commands")
    with on("sqlite"):
        house: House = lives(a_house(folder, one_bank))
        house.node.close()
    assert main(["--home", str(folder / "home"), "what-if", "extract"]) == 0
    return folder / "home"


def asks(capsys, home: Path, *arguments: str, language: str = "en") -> tuple[int, str, str]:
    code = main(["--language", language, "--home", str(home), "what-if", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    path = tmp_path / "changed.toml"
    path.write_text(WITHOUT_DEDUCTIBLE, encoding="utf-8")
    return path


def test_a_run_shows_what_would_move_by_product_and_reason(capsys, home, changed):
    code, out, _ = asks(capsys, home, "run", "--product", str(changed))
    assert code == 0
    assert "hospital-expense-2020" in out
    assert "Deductible" in out
    assert "+90.00" in out  # more under the changed product, and the other policy finds that much less to pay
    assert "Nothing in the store was changed." in out


def test_a_product_that_decided_nothing_is_shown_with_no_claims(capsys, home, changed):
    changed.write_text(
        EXPENSE.replace('product = "hospital-expense-2020"', 'product = "hospital-expense-2099"'), "utf-8"
    )
    code, out, _ = asks(capsys, home, "run", "--product", str(changed))
    [row] = [line.split() for line in out.splitlines() if "hospital-expense-2099" in line]
    assert (code, row[1:]) == (0, ["0", "0", "0", "0", "0.00", "0.00", "0.00"])
    assert "payments move by 0.00 yuan in all" in out


def test_in_chinese_it_says_the_same(capsys, home, changed):
    _, out, _ = asks(capsys, home, "run", "--product", str(changed), language="zh")
    assert "免赔额" in out
    assert "没有改动任何存下的数据" in out


def test_without_a_change_nothing_moves(capsys, home):
    code, out, _ = asks(capsys, home, "run", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["total"]["claims"] > 10
    assert answer["total"].get("changed", 0) == 0
    assert Path(answer["folder"]).parent == home / "what-if"


def test_an_extract_that_is_there_is_left_as_it_is_unless_it_is_to_be_anew(capsys, home):
    before = json.loads(asks(capsys, home, "extract", "--json")[1])
    assert json.loads(asks(capsys, home, "extract", "--json")[1]) == before
    anew = json.loads(asks(capsys, home, "extract", "--anew", "--json")[1])
    assert anew["as_of"] > before["as_of"]
    assert anew["claims"] == before["claims"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "--extract", "nowhere"), 1, "There is no extract in"),
        (("run", "--product", "nowhere.toml"), 2, "nowhere.toml cannot be opened: No such file"),
        (("run", "--from", "soon"), 2, "--from: "),
    ],
)
def test_what_is_asked_wrongly_is_said(capsys, home, arguments, code, said):
    found, _, err = asks(capsys, home, *arguments)
    assert (found, said in err) == (code, True), err


def test_a_folder_with_another_run_is_left_as_it_is(capsys, home, changed, tmp_path):
    to = str(tmp_path / "run")
    assert asks(capsys, home, "run", "--to", to)[0] == 0
    code, out, err = asks(capsys, home, "run", "--to", to, "--product", str(changed), language="zh")
    assert (code, out, "另一次试算" in err) == (1, "", True), err
    assert asks(capsys, home, "run", "--to", to)[0] == 0


def test_a_home_without_a_store_is_not_given_one(capsys, tmp_path):
    code, _, err = asks(capsys, tmp_path / "empty", "extract")
    assert (code, "There is no store" in err) == (1, True)
    assert not (tmp_path / "empty").exists()


def test_a_malformed_product_is_told_with_its_line(capsys, home, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(EXPENSE.replace('yuan = "100.00"', 'yuan = "100"'), encoding="utf-8")
    code, _, err = asks(capsys, home, "run", "--product", str(path))
    assert code == 2
    assert err.startswith("bad.toml:")


@pytest.mark.parametrize("missing", ["numpy", "pyarrow"])
def test_without_the_columns_installed_the_command_says_what_to_install(home, missing):
    script = (
        f"import sys; sys.modules['{missing}'] = None; from safeweave.main import main;"
        f" sys.exit(main(['--language', 'en', '--home', {str(home)!r}, 'what-if', 'run']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        1, f"This command needs {missing}; install safeweave[bulk]",
    )  # fmt: skip


def test_without_ray_the_command_says_what_to_install(home):
    script = (
        "import sys; sys.modules['ray'] = None; from safeweave.main import main;"
        f" sys.exit(main(['--language', 'en', '--home', {str(home)!r}, 'what-if', 'run', '--engine', 'ray',"
        f" '--to', {str(home / 'ray')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        1, "Ray is not installed; install safeweave[ray], or use --engine local",
    )  # fmt: skip


def test_a_run_that_is_killed_goes_on_where_it_stopped(home, changed, tmp_path):
    """kill -9 after some of many parts: the next run decides only the others, and the answer is the same."""
    extract = tmp_path / "x"
    shutil.copytree(home / "what-if" / "extract", extract)
    manifest = msgspec.json.decode((extract / "extract.json").read_bytes(), type=Manifest)
    parts = [Part(f"part-{number:05}", manifest.parts[0].claims, "") for number in range(40)]
    for part in parts[1:]:
        shutil.copytree(extract / parts[0].name, extract / part.name)
    manifest = msgspec.structs.replace(manifest, parts=tuple(parts))
    (extract / "extract.json").write_bytes(msgspec.json.encode(manifest))
    command = [
        sys.executable, "-m", "safeweave.main", "what-if", "run", "--extract", str(extract), "--product", str(changed),
        "--jobs", "2", "--json",
    ]  # fmt: skip

    running = subprocess.Popen([*command, "--to", str(tmp_path / "killed")], stdout=subprocess.DEVNULL, process_group=0)
    until(lambda: len(list((tmp_path / "killed").glob("part-*.json"))) >= 3)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("part-*.json")}
    assert 3 <= len(done) < 40

    again, whole = (
        json.loads(subprocess.run([*command, "--to", str(tmp_path / to)], capture_output=True, check=True).stdout)
        for to in ("killed", "whole")
    )
    assert again["done"] == 40
    assert again["preview"] == whole["preview"]
    assert (
        done.items()
        <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("part-*.json")}.items()
    )
