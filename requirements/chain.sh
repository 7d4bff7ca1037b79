#!/bin/sh
# The tests of the ledger on a chain run a node of their own (anvil) and compile the contract anew (solc), both from npm at
# the versions of requirements/chain/package-lock.json. Where npm is missing, this says what is left out and goes on.
set -eu
cd "$(dirname "$0")/chain"
installed=node_modules/.installed-package-lock.json
cmp -s package-lock.json "$installed" && exit 0
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    echo "npm was not found. Left out: the tests of the ledger on a real node (anvil) and the test that compiles Consortium.sol" \
        "anew. The contract is still tested in process. Install Node.js 20 or later with npm for all of them."
    exit 0
fi
# --ignore-scripts: the programs come as packages; nothing of them needs to run while it is installed
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
cp package-lock.json "$installed"
