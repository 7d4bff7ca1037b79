#!/bin/sh
# The tests start PostgreSQL servers of their own. Where its programs are missing and root may install Debian's package,
# this does so, without a cluster that runs by itself; elsewhere the tests that need it say what to install.
set -eu
"$1" -m safeweave_simulator.postgresql --check 2>/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    conf=/etc/postgresql-common/createcluster.conf
    if [ ! -e "$conf" ]; then
        mkdir -p "$(dirname "$conf")"
        echo "create_main_cluster = false" >"$conf"
    fi
    apt-get update -qq
    # --force-confold: the file just written stays as it is
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Options::=--force-confold postgresql >/dev/null
fi
