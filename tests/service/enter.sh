#!/usr/bin/env bash
# Runs systemd as the first process of new namespaces, on a copy of this system's root that is dropped at the end.
# Usage: unshare ... enter.sh FOLDER REPOSITORY ENVIRONMENT PYTHON EXCHANGE
# ENVIRONMENT is the virtual environment of the tests, PYTHON the prefix of its Python.
set -euo pipefail
folder="$1" repository="$2" environment="$3" python="$4" exchange="$5"

mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
root="$folder/root"
mkdir "$folder/upper" "$folder/work" "$root" "$folder/venv-upper" "$folder/venv-work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mkdir -p "$root/opt/python" "$root/opt/edge-sdk" "$root/opt/exchange" "$root/opt/door-lock/venv" "$root/var/lib/door-lock"
mount --bind -o ro "$repository" "$root/opt/edge-sdk"
mount --bind -o ro "$python" "$root/opt/python"
mount --bind "$exchange" "$root/opt/exchange"
mount -t overlay overlay -o "lowerdir=$environment,upperdir=$folder/venv-upper,workdir=$folder/venv-work" "$root/opt/door-lock/venv"
# The gallery has a file system of its own, as on a board with a read-only root.
mount -t tmpfs tmpfs "$root/var/lib/door-lock"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs -o ro "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in run tmp dev; do mount -t tmpfs tmpfs "$root/$place"; done
mkdir "$root/dev/pts" "$root/dev/shm"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/"; done
# pinctrl's node; the kernel log stands for it, because DevicePolicy=closed forbids that as well.
mknod "$root/dev/gpiomem" c 1 11

# The tests' Python may be in a home folder, which ProtectHome= hides from the service.
ln -sf /opt/python/bin/python3 "$root/opt/door-lock/venv/bin/python"
sed -i 's|^home = .*|home = /opt/python/bin|' "$root/opt/door-lock/venv/pyvenv.cfg"
cat >"$root/opt/door-lock/venv/bin/edge-sdk" <<'END'
#!/opt/door-lock/venv/bin/python
import sys
from edge_sdk.cli import main
sys.exit(main())
END
cat >"$root/usr/bin/pinctrl" <<'END'
#!/bin/sh
exec 3<>/dev/gpiomem || exit 5
echo "$*" >>/opt/exchange/pinctrl
END
printf '#!/bin/sh\nexit 0\n' >"$root/usr/local/bin/apt-get"
chmod 0755 "$root/opt/door-lock/venv/bin/edge-sdk" "$root/usr/bin/pinctrl" "$root/usr/local/bin/apt-get"
sed -i '/^VERSION_CODENAME=/d' "$root/etc/os-release"
echo VERSION_CODENAME=bookworm >>"$root/etc/os-release"
# A journal on the root would keep it from becoming read-only.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/test.conf"
chroot "$root" groupadd --system gpio
mkdir -p "$root/etc/systemd/system/door-lock.service.d"
cp "$exchange/test.conf" "$root/etc/systemd/system/door-lock.service.d/"
exec env container=test chroot "$root" /lib/systemd/systemd --system --log-target=null --show-status=no systemd.unit=basic.target
