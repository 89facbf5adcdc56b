#!/usr/bin/env bash
# Installs the door lock on Raspberry Pi OS (Bookworm, Trixie), as root; run again, it brings things up to date.
# It takes what edge-convert made on the workstation: face.tflite detector.tflite pad_2.7.tflite pad_4.0.tflite
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
home=/var/lib/door-lock
program=/opt/door-lock
models=(face.tflite detector.tflite pad_2.7.tflite pad_4.0.tflite)

if [ "$#" -ne 1 ] || [ "$1" = --help ]; then
  echo "usage: install.sh FOLDER" >&2
  echo "FOLDER holds ${models[*]}" >&2
  exit 2
fi
for model in "${models[@]}"; do
  [ -f "$1/$model" ] || { echo "install.sh: error: $1/$model is missing" >&2; exit 1; }
done
# Install the SDK by its path: a name would be looked up on the public index.
sdk="${EDGE_SDK:-$(cd "$here/../.." && pwd)}"
case "$sdk" in
  /*.whl) [ -f "$sdk" ] ;;
  /*) [ -f "$sdk/setup.cfg" ] && [ -d "$sdk/edge_sdk" ] ;;
  *) false ;;
esac || { echo "install.sh: error: $sdk is neither a checkout nor a wheel of the SDK: give its whole path in EDGE_SDK" >&2; exit 1; }
# The packages that the SDK needs, each with the digest of its file.
release="$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")"
lock="$here/requirements-$release.txt"
[ -f "$lock" ] || lock="$sdk/firmware_examples/raspberry_pi_door_lock/requirements-$release.txt"
[ -f "$lock" ] || { echo "install.sh: error: expected Raspberry Pi OS Bookworm or Trixie, found $release: there is no requirements-$release.txt beside this script" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || { echo "install.sh: error: run as root" >&2; exit 1; }

apt-get install --yes --no-install-recommends python3-venv python3-picamera2 python3-gpiozero python3-lgpio
id door-lock >/dev/null 2>&1 || useradd --system --home-dir "$home" --shell /usr/sbin/nologin --groups gpio,video door-lock

install -d -m 0755 "$program"
# The board's camera and pins come with the system, everything else from wheels.
[ -x "$program/venv/bin/python" ] || python3 -m venv --system-site-packages "$program/venv"
pip=("$program/venv/bin/python" -m pip install)
"${pip[@]}" --require-hashes --only-binary=:all: --requirement "$lock"
"${pip[@]}" --no-index --no-deps --no-build-isolation --force-reinstall "$sdk"
install -m 0644 "$here/door_lock.py" "$here/README.md" "$program/"

install -d -m 0700 -o door-lock -g door-lock "$home" "$home/anchor"
for model in "${models[@]}"; do
  install -m 0400 -o door-lock -g door-lock "$1/$model" "$home/$model"
done
as_lock=(runuser --user door-lock -- "$program/venv/bin/edge-sdk")
networks=(--detector "$home/detector.tflite" --pad "$home/pad_2.7.tflite" "$home/pad_4.0.tflite")
# KEY=pi-otp uses the board's key: README.md, "The key".
files=(--gallery "$home/home.gallery" --key "${KEY:-$home/home.key}" --anchor "$home/anchor/home.anchor")
status() { [[ "$("${as_lock[@]}" gallery status --json "${files[@]}")" == *"\"$1\": true"* ]]; }
# Each step is taken if its result is missing, so that an interrupted installation is completed by the next one.
[ -e "$home/home.gallery" ] || "${as_lock[@]}" gallery create --model "$home/face.tflite" "${networks[@]}" "${files[@]}"
status has_policy || "${as_lock[@]}" gallery policy --model "$home/face.tflite" --fpir "${FPIR:-0.01}" "${files[@]}"
status has_attempt_limit || "${as_lock[@]}" gallery limit-attempts --pad "${files[@]}"
# The lock must use the files that root has just installed. If they are pinned already, this writes nothing.
"${as_lock[@]}" gallery pin-networks "${networks[@]}" "${files[@]}"
if ! status has_policy || ! status has_attempt_limit; then
  echo "install.sh: error: the gallery has no decision policy or no limit on attempts: run this script again" >&2
  exit 1
fi
"${as_lock[@]}" doctor --model "$home/face.tflite" "${files[@]}" || true

install -m 0644 "$here/door-lock.service" /etc/systemd/system/door-lock.service
systemctl daemon-reload
systemctl enable --now door-lock
systemd-analyze security --no-pager door-lock | tail -n 1
echo "installed; enrol somebody as README.md says"
