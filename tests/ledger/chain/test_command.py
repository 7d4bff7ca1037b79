"""The commands of the guide, one after another, on a real node."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.chain.anvil import MISSING, Anvil, anvil
from safeweave.ledger.chain.__main__ import main


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command in a folder of its own; what it printed, also into a file if one is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAFEWEAVE_LANGUAGE", "en")

    def run(line: str, into: str = "", fails: bool = False) -> str:
        assert main(shlex.split(line)) == int(fails)
        said = capsys.readouterr()
        if into:
            Path(into).write_text(said.out)
        return (said.err if fails and not said.out else said.out).strip()

    return run


@pytest.fixture
def node() -> Iterator[str]:
    if anvil() is None:
        pytest.skip(MISSING)
    server = Anvil()
    yield f"--node {server.url} --profile anvil"
    server.kill()


def test_a_consortium_is_founded_and_a_member_joins_and_is_suspended(says: Callable[..., str], node: str):
    for name in ("health", "bureau", "hospital"):
        says(f"ring {name}.ring", into=f"{name}.json")
    hospital = json.loads(Path("hospital.json").read_text())["member"]
    contract = says(f"deploy --ring health.ring {node}")
    at = f"{node} --contract {contract}"

    says("found --ring health.ring --needed 2 health.json bureau.json", into="founding.json")
    assert '"number":0' in says(f"send --ring health.ring {at} founding.json")

    says("admit --ring health.ring hospital.json --role hospital", into="admission.json")
    alone = json.loads(says(f"send --ring health.ring {at} admission.json", fails=True))
    assert alone["code"] == "approvals_missing"
    says("approve --ring bureau.ring admission.json", into="approval.json")
    assert '"number":1' in says(f"send --ring health.ring {at} admission.json approval.json")
    assert json.loads(says(f"member {at} {hospital}"))["role"] == "hospital"

    says(f"suspend --ring bureau.ring {hospital} --reason left", into="suspension.json")
    says("approve --ring health.ring suspension.json", into="approval.json")
    says(f"send --ring bureau.ring {at} suspension.json approval.json")
    assert json.loads(says(f"member {at} {hospital}"))["suspensions"][0]["reason"] == "left"
    assert [line.split()[2] for line in says(f"status {at}").splitlines()[1:]] == [
        "found", "put_member", "suspend_member",
    ]  # fmt: skip


def test_without_the_extra_a_sentence_names_it(says: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    for missing in ("web3", "eth_account"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            said = says(
                "ring new.ring" if missing == "eth_account" else "status --node http://127.0.0.1:9 --contract 0x00",
                fails=True,
            )
        assert missing in said
        assert "safeweave[chain]" in said


def test_nothing_of_the_extra_is_loaded_before_it_is_needed():
    asked = "import sys, safeweave.ledger.chain.adapter; print({'web3', 'eth_abi', 'eth_account'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout.strip() == "set()"


def test_what_goes_wrong_is_said_in_a_sentence(says: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    says("ring mine.ring", into="mine.json")
    assert "never written over" in says("ring mine.ring", fails=True)
    Path("broken.json").write_text('{"kind":"anchor"}')
    assert "broken.json:1:" in says("approve --ring mine.ring broken.json", fails=True)
    assert "does not answer" in says("deploy --ring mine.ring --node http://127.0.0.1:9", fails=True)
    monkeypatch.setenv("SAFEWEAVE_LANGUAGE", "zh")
    assert "已存在" in says("ring mine.ring", fails=True)
