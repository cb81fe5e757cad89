#!/usr/bin/env bash
# Installs the unpacked bundle that this script lies in, /opt/mlx-rl/SHA256, and starts the recorder from it. Run as
# root at every boot by mlx-rl-install, which has checked the bundle; where all is in place it changes nothing. May be
# stopped anywhere and run again: until the last steps the installation before is the current one, and it is kept.
#
# MLX_RL_ROOT puts /opt and /etc below another root; tests do.
set -euo pipefail

bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$bundle")
home=$(dirname "$bundle")
etc=${MLX_RL_ROOT:-}/etc
python=python3.11

if [ ! -e "$bundle/installed" ]; then
  command -v "$python" >/dev/null || dnf install --assumeyes --quiet "$python"
  rm -rf "$bundle/venv"
  "$python" -m venv "$bundle/venv"
  "$bundle/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --no-index --find-links "$bundle/wheels" 'mlx-rl[s3]'
  "$bundle/venv/bin/mlx-rl" observe --help >/dev/null
  touch "$bundle/installed"
  rm -rf "$bundle/wheels"
fi

install -d -m 0700 "$etc/mlx-rl" "$etc/mlx-rl/kalshi"
install -D -m 0644 -t "$etc/systemd/system" "$bundle"/*.service "$bundle"/*.timer
install -D -m 0644 "$bundle/journald.conf" "$etc/systemd/journald.conf.d/mlx-rl.conf"
install -D -m 0644 "$bundle/chrony.conf" "$etc/chrony.conf"

before=$(readlink "$home/current" || true)
ln -sfn "$name" "$home/current.new"
mv -T "$home/current.new" "$home/current"

systemctl daemon-reload
systemctl restart systemd-journald.service chronyd.service
systemctl enable --quiet chrony-wait.service mlx-rl-observer.service
if [ "$HEARTBEAT" = yes ]; then
  systemctl enable --quiet --now mlx-rl-heartbeat.timer
else
  systemctl disable --quiet --now mlx-rl-heartbeat.timer
fi
# Before= of mlx-rl-install.service holds the recorder back until this script has ended, so it must not wait for it.
systemctl restart --no-block mlx-rl-observer.service

if [ "$before" != "$name" ]; then
  for old in "$home"/*/; do
    case $(basename "$old") in "$name" | "$before" | current) ;; *) rm -rf "$old" ;; esac
  done
fi
