#!/usr/bin/env bash
# Installs or updates the door lock on Raspberry Pi OS (Bookworm, Trixie), as root: install.sh KIT.edgekit [OPTION ...]
# The options are those of `edge-sdk setup`, such as --camera, --rotate, --fpir and --key.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
home=/var/lib/door-lock
program=/opt/door-lock

fail() {
  echo "install.sh: error: $1" >&2
  [ -z "${2:-}" ] || echo "install.sh: hint: $2" >&2
  exit 1
}

if [ "$#" -lt 1 ] || [ "$1" = --help ]; then
  echo "usage: install.sh KIT.edgekit [OPTION ...]" >&2
  echo "options: those of edge-sdk setup, such as --camera SOURCE, --rotate DEG, --fpir RATE, --key WORD" >&2
  exit 2
fi
# Ignored, they would leave the owner with a weaker key or another rate than expected.
[ -z "${KEY:-}${FPIR:-}" ] || fail "expected no KEY= and FPIR= of version 0.2, found one" "give --key and --fpir after the kit"
kit="$1"
shift
[ -f "$kit" ] || fail "$kit: expected a kit (.edgekit), found no file" "make one on a workstation: edge-convert kit face --output kit/"
# Install the SDK by its path: a name would be looked up on the public index.
sdk="${EDGE_SDK:-$(cd "$here/../.." && pwd)}"
case "$sdk" in
  /*.whl) [ -f "$sdk" ] ;;
  /*) [ -f "$sdk/setup.cfg" ] && [ -d "$sdk/edge_sdk" ] ;;
  *) false ;;
esac || fail "$sdk is neither a checkout nor a wheel of the SDK: give its whole path in EDGE_SDK"
# The packages that the SDK needs, each with the digest of its file; their numpy is the one of the system's camera packages.
release="$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")"
lock="$here/requirements-$release.txt"
[ -f "$lock" ] || lock="$sdk/firmware_examples/raspberry_pi_door_lock/requirements-$release.txt"
[ -f "$lock" ] || fail "expected Raspberry Pi OS Bookworm or Trixie, found $release: there is no requirements-$release.txt beside this script"
[ "$(id -u)" -eq 0 ] || fail "run as root"

apt-get install --yes --no-install-recommends python3-venv python3-picamera2 python3-gpiozero python3-lgpio
[ -x /usr/bin/pinctrl ] || fail "pinctrl is missing, which shuts the door after a crash" "sudo apt install raspi-utils"
id door-lock >/dev/null 2>&1 || useradd --system --home-dir "$home" --shell /usr/sbin/nologin --groups gpio,video door-lock

install -d -m 0755 "$program"
# The board's camera and pins come with the system, everything else from wheels.
[ -x "$program/venv/bin/python" ] || python3 -m venv --system-site-packages "$program/venv"
python="$program/venv/bin/python"
# After an upgrade of the system its Python is another one, which finds no packages there.
"$python" -c 'import pip' >/dev/null 2>&1 || python3 -m venv --clear --system-site-packages "$program/venv"
"$python" -m pip install --require-hashes --only-binary=:all: --requirement "$lock"
"$python" -m pip install --no-index --no-deps --no-build-isolation --force-reinstall "$sdk"
# Compiled packages of the system and of the wheels run with one numpy only if their imports say so.
"$python" -c 'import lgpio, gpiozero, picamera2, numpy, ai_edge_litert.interpreter' ||
  fail "the packages of this system do not work together" "sudo apt full-upgrade, then run this script again"

install -d -m 0700 -o door-lock -g door-lock "$home"
readable="$(mktemp -d)"
trap 'rm -rf "$readable"' EXIT
chmod 0755 "$readable"
install -m 0444 "$kit" "$readable/kit.edgekit"
# Every file of the kit is checked, and compared with the gallery, before anything is replaced. If people are enrolled whom its
# network cannot recognize, all files stay. The exit code 1 means that doctor, which runs last, found a problem.
code=0
runuser --user door-lock -- "$program/venv/bin/edge-sdk" setup "$readable/kit.edgekit" --door --accept-licences \
  --installation "$home" "$@" || code=$?
[ "$code" -le 1 ] || fail "the kit was not installed; the files in $home are as before, and the door was not restarted" \
  "only the packages in $program/venv are those of this version; correct what the error above names, and run this script again"

install -m 0644 "$here/door_lock.py" "$here/README.md" "$program/"
# `sudo door-lock COMMAND` runs edge-sdk as the user of the service, with its installation.
printf '#!/bin/sh\nexec runuser --user door-lock -- env EDGE_SDK_INSTALLATION=%s %s/venv/bin/edge-sdk "$@"\n' \
  "$home" "$program" >/usr/local/sbin/door-lock
chmod 0755 /usr/local/sbin/door-lock
install -m 0644 "$here/door-lock.service" /etc/systemd/system/door-lock.service
systemctl daemon-reload
systemctl enable door-lock
# Waits until pins, camera and networks are open.
systemctl restart door-lock || fail "installed, but the door does not start" "journalctl -u door-lock -n 20"
systemd-analyze security --no-pager door-lock | tail -n 1 || true
echo "installed; enrol somebody as README.md says"
