#!/usr/bin/env bash
# Build and test the TypeScript client. Needs Node.js 20.19 or later and npm; CLIENT_NETWORKS and CLIENT_PYTHON, which
# `make test-web` sets, for the tests that run networks and that compare files with Python.
set -euo pipefail
cd "$(dirname "$0")"

fail() { echo "test-web: $*" >&2; exit 1; }

command -v node >/dev/null || fail "expected Node.js 20.19 or later, found none; install nodejs"
command -v npm >/dev/null || fail "expected npm, found none; install npm"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "expected Node.js 20.19 or later, found $(node --version)"
if [[ -z "${CLIENT_NETWORKS:-}" || ! -d "$CLIENT_NETWORKS" ]]; then
    fail "expected CLIENT_NETWORKS to name a folder of networks, found '${CLIENT_NETWORKS:-}'; run make test-web"
fi
[[ -x "${CLIENT_PYTHON:-}" ]] || fail "expected CLIENT_PYTHON to name a Python with edge-sdk, found '${CLIENT_PYTHON:-}'"

# npm writes this file at the end of an installation.
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
    npm ci --no-fund --no-audit --loglevel=error
    touch node_modules/.package-lock.json
fi
npx tsc -b
npm test --workspaces --if-present
