#!/bin/sh
# Makes what compose.yml needs and does not contain: tokens, and the group of Docker's socket. What is there already stays.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Read by the group 10070, which Sandbook, Prometheus, Alertmanager and Grafana are in, and by nobody else.
for name in admin viewer sender grafana; do
    [ -s "secrets/$name" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"secrets/$name"
    chgrp 10070 "secrets/$name" 2>/dev/null || echo "secrets.sh: cannot give secrets/$name to group 10070; run it as root" >&2
    chmod 0640 "secrets/$name"
done
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
[ -S "$socket" ] || { echo "secrets.sh: no Docker socket at $socket; start Docker, or set DOCKER_SOCKET" >&2; exit 1; }
printf 'DOCKER_GID=%s\n' "$(stat -c %g "$socket")" >.env
echo "next: docker compose up -d; then http://127.0.0.1:7070 with the token in secrets/admin"
