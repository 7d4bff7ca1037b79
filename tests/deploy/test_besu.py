"""The files for Besu name only what exists and fit the adapter's profile; the guide names commands that there are."""

import json
import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeweave.ledger.chain.__main__ import _parser
from safeweave.ledger.chain.profile import profile

ROOT = Path(__file__).resolve().parents[2]
BESU = ROOT / "deploy/besu"
COMPOSE: dict[str, Any] = yaml.safe_load((BESU / "compose.yaml").read_text(encoding="utf-8"))
NETWORK = json.loads((BESU / "network.json").read_text(encoding="utf-8"))
VALIDATOR = tomllib.loads((BESU / "validator.toml").read_text(encoding="utf-8"))
GUIDES = {
    language: (ROOT / "docs/guides" / name).read_text(encoding="utf-8")
    for language, name in (("en", "chain.md"), ("zh", "chain.zh-CN.md"))
}
BLOCKS = re.compile(r"^```\n(.*?)^```$", re.M | re.S)


def validators() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in COMPOSE["services"].items() if name.startswith("validator-")}


def test_there_are_as_many_validators_as_keys():
    assert len(validators()) == NETWORK["blockchain"]["nodes"]["count"] == 4
    for number, service in enumerate(validators().values(), start=1):
        assert f"--node-private-key-file=/network/validator-{number}/key" in service["command"]
        assert service["networks"]["chain"]["ipv4_address"] == f"172.29.64.1{number}"


def test_every_address_is_the_one_that_the_list_of_nodes_gives():
    script = (BESU / "make-network.sh").read_text(encoding="utf-8")
    assert 'enode://$public@172.29.64.1$number:30303\\"' in script
    assert VALIDATOR["p2p-port"] == 30303
    assert os.access(BESU / "make-network.sh", os.X_OK)


def test_volumes_are_declared_and_files_are_there():
    for service in COMPOSE["services"].values():
        for mounted in service["volumes"]:
            source = mounted.partition(":")[0]
            assert source == "." or source in COMPOSE["volumes"]
        for word in [*service.get("command", ()), *service.get("entrypoint", ())]:
            for named in re.findall(r"/etc/besu/([\w.-]+)", word):
                assert (BESU / named).is_file()


def test_gas_is_free_and_blocks_are_as_the_profile_says():
    used, config = profile("besu"), NETWORK["genesis"]["config"]
    assert config["zeroBaseFee"] is True
    assert VALIDATOR["min-gas-price"] == used.gas_price == 0
    assert config["qbft"]["blockperiodseconds"] == used.block_seconds
    assert int(NETWORK["genesis"]["gasLimit"], 16) == used.gas_of_block
    assert used.confirmations == 0


def test_a_node_offers_no_more_than_is_asked_of_it():
    assert VALIDATOR["rpc-http-api"] == ["ETH", "NET", "WEB3", "QBFT"]
    assert "rpc-ws-enabled" not in VALIDATOR
    for service in validators().values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("language", GUIDES)
def test_the_commands_of_the_guide_can_be_asked_for(language: str):
    lines = [line for block in BLOCKS.findall(GUIDES[language]) for line in block.splitlines()]
    calls = [line for line in lines if line.startswith("python -m safeweave.ledger.chain ")]
    assert len(calls) >= 10
    for call in calls:
        asked = shlex.split(call.removeprefix("python -m safeweave.ledger.chain ").partition(" > ")[0])
        assert _parser("en").parse_args(asked).run


def test_both_languages_have_the_same_sections_commands_and_figures():
    def shape(text: str) -> tuple[list[int], list[str], list[list[str]]]:
        prose = BLOCKS.sub("", text)
        rows = [sorted(re.findall(r"`[^`]+`|\d+,\d+", row)) for row in prose.splitlines() if row.startswith("|")]
        blocks = [block for block in BLOCKS.findall(text) if "──" not in block]
        return [len(marks) for marks in re.findall(r"^(#+) ", prose, re.M)], blocks, rows

    assert shape(GUIDES["en"]) == shape(GUIDES["zh"])
