#!/bin/sh
# The tests of the pages drive Debian's Chromium and check each page with axe, from npm at the version of
# requirements/pages/package-lock.json. Where one is missing and cannot be installed, this says what is left out.
set -eu
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null
fi
if ! command -v chromium >/dev/null; then
    echo "Chromium was not found. Left out: the tests of the pages in a real browser. Install chromium for them."
fi
cd "$(dirname "$0")/pages"
installed=node_modules/.installed-package-lock.json
cmp -s package-lock.json "$installed" && exit 0
if ! command -v npm >/dev/null; then
    echo "npm was not found. Left out: the checks of accessibility. Install Node.js 20 or later with npm for them."
    exit 0
fi
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
cp package-lock.json "$installed"
