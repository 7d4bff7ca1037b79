"""The contract compiled anew by the locked compiler; run as a module it writes Consortium.json."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from safeweave.ledger.chain import contract

SOLC = Path(__file__).resolve().parents[3] / "requirements" / "chain" / "node_modules" / "solc" / "solc.js"
FOLDER = Path(contract.__file__).parent
MISSING = "solc is not here: `make setup-dev` installs it where npm is"


def is_here() -> bool:
    """Whether the compiler can run."""
    return SOLC.exists() and shutil.which("node") is not None


def compiled() -> dict[str, Any]:
    """What Consortium.json ought to hold: the compiler, the ABI and the code that creates the contract."""
    asked = {
        "language": "Solidity",
        "sources": {name: {"content": (FOLDER / name).read_text()} for name in ("Consortium.sol", "Reader.sol")},
        "settings": {
            "optimizer": {"enabled": True, "runs": 200},
            "evmVersion": "paris",
            "metadata": {"bytecodeHash": "none", "appendCBOR": False},
            "outputSelection": {"Consortium.sol": {"Consortium": ["abi", "evm.bytecode.object"]}},
        },
    }
    ran = subprocess.run(["node", SOLC, "--standard-json"], input=json.dumps(asked), capture_output=True, text=True)
    answer = json.loads(ran.stdout[ran.stdout.index("{") :])
    faults = [error["formattedMessage"] for error in answer.get("errors", ())]
    assert not faults, "\n".join(faults)
    made = answer["contracts"]["Consortium.sol"]["Consortium"]
    version = json.loads((SOLC.parent / "package.json").read_text())["version"]
    return {"compiler": f"solc {version}", "abi": made["abi"], "bytecode": "0x" + made["evm"]["bytecode"]["object"]}


def as_text(made: dict[str, Any]) -> str:
    """The file's text: one line for each entry of the ABI, and the bytecode in lines a review tool can show."""
    abi = ",\n".join("    " + json.dumps(entry) for entry in made["abi"])
    code = made["bytecode"]
    lines = ",\n".join(f'    "{code[at : at + 118]}"' for at in range(0, len(code), 118))
    return f'{{\n  "compiler": "{made["compiler"]}",\n  "abi": [\n{abi}\n  ],\n  "bytecode": [\n{lines}\n  ]\n}}\n'


if __name__ == "__main__":
    if not is_here():
        raise SystemExit(MISSING)
    (FOLDER / "Consortium.json").write_text(as_text(compiled()))
