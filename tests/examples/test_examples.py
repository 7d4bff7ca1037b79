"""The examples do what their pages say."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from safeweave.main import main

ROOT = Path(__file__).resolve().parents[2]
FIRST_CLAIM = ROOT / "examples" / "first_claim"
NEW_PRODUCT = ROOT / "examples" / "new_product"


@pytest.fixture
def safeweave(tmp_path, monkeypatch, capsys):
    """Runs a command over a home of its own and gives its JSON."""
    for name in [name for name in os.environ if name.startswith("SAFEWEAVE_")]:
        monkeypatch.delenv(name)

    def run(*arguments):
        code = main(["--home", str(tmp_path / "home"), "--language", "en", *map(str, arguments)])
        out = capsys.readouterr().out
        assert code == 0, out
        return json.loads(out) if "--json" in arguments else out

    return run


def prepared(safeweave):
    safeweave("hospitals", "import", FIRST_CLAIM / "hospitals.jsonl")
    safeweave("policies", "import", FIRST_CLAIM / "policies.jsonl")
    safeweave("senders", "add", "first-hospital", "--hospital", "H33020000001", "--facility", "H33020000001")


def test_the_first_claim_is_paid_by_one_script(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("the script needs bash")
    bin = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFEWEAVE_")}
    done = subprocess.run(
        ["bash", str(FIRST_CLAIM / "run.sh"), str(tmp_path / "data")],
        env=environment | {"BIN": str(bin), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "1 patients, 1 stays became cases, 1 closed\n" in done.stdout
    assert "5 messages, 0 refused" in done.stdout
    assert "We pay you  2,381.85 yuan" in done.stdout
    assert "2,381.85  Paid" in done.stdout
    assert "1 determinations computed again, 1 agree" in done.stdout
    assert done.stdout.rstrip().endswith("0.00")  # journal and bank agree


def test_the_first_claim_waits_where_there_is_no_bank(safeweave):
    prepared(safeweave)
    fed = safeweave("feed", FIRST_CLAIM / "messages", "--sender", "first-hospital", "--json")
    assert (fed["messages"], fed["refused"], fed["crashed"], fed["stays_opened"]) == (5, 0, 0, 1)
    case = safeweave("case", "show", "ZY20250301", "--json")
    assert (case["stage"], [d["payable"] for d in case["determinations"]]) == ("determined", ["2381.85"])
    assert [(p["amount"], p["state"]) for p in case["payouts"]] == [("2381.85", "waiting")]
    assert safeweave("journal", "--json")["trial_balance_fen"] == 0
    assert safeweave("replay", "--all", "--json")["agree"] == 1


def test_messages_in_another_order_and_told_twice_end_in_the_same_claim(safeweave):
    prepared(safeweave)
    for file in sorted((FIRST_CLAIM / "messages").iterdir(), reverse=True):
        for _ in range(2):
            safeweave("feed", file, "--sender", "first-hospital")
    case = safeweave("case", "show", "ZY20250301", "--json")
    assert case["stage"] == "determined"
    assert [p["amount"] for p in case["payouts"]] == ["2381.85"]


def test_the_new_product_can_be_read_and_its_story_agrees(safeweave):
    assert "harbour-supplement-2025" in safeweave("products", "check", NEW_PRODUCT / "products")
    told = safeweave("stories", NEW_PRODUCT, "--json")
    assert (told["agree"], told["disagree"]) == (1, 0)


def test_the_guide_quotes_the_product_as_it_is():
    guide = (ROOT / "docs/guides/new_product.md").read_text(encoding="utf-8")
    quoted = tomllib.loads(guide.split("```toml\n")[1].split("```")[0])
    file = NEW_PRODUCT / "products" / "harbour-supplement-2025.toml"
    assert quoted["deductible"] == tomllib.loads(file.read_text(encoding="utf-8"))["deductible"]
