#!/usr/bin/env bash
# A claim from files to money: run it from the repository's root, after `make setup`.
#   examples/first_claim/run.sh [FOLDER FOR THE DATA, default a new temporary one]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../../.venv/bin}
home=${1:-$(mktemp -d)}
sw() { "$bin/safeweave" --home "$home" "$@"; }

mkdir -p "$home"
"$bin/python" -m safeweave_simulator.bank --data "$home/bank.db" >"$home/bank.url" &
bank=$!
trap 'kill "$bank"' EXIT
until [ -s "$home/bank.url" ]; do sleep 0.1; done
SAFEWEAVE_BANK_URL=$(cat "$home/bank.url")
export SAFEWEAVE_BANK_URL

sw hospitals import "$here/hospitals.jsonl"
sw policies import "$here/policies.jsonl"
sw senders add first-hospital --hospital H33020000001 --facility H33020000001 >/dev/null
sw feed "$here/messages" --sender first-hospital
sw case show ZY20250301
sw replay ZY20250301
sw journal
sw reconcile
