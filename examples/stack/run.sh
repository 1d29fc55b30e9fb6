#!/bin/sh
# Sandbook and what it works with, on this machine and from Debian's packages: Docker (this machine's engine, or one of its
# own when none answers), Prometheus, Alertmanager, node-exporter, and a container that falls ill every two minutes.
#   examples/stack/run.sh BINARY      until Ctrl-C; `./dev stack` installs, builds and calls it
#   SICK_AFTER=120                    seconds until the container falls ill, after each of its starts
# Everything listens on loopback and lives in one temporary folder; the demo container is removed at the end.
set -eu

binary=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
state=$(mktemp -d "${TMPDIR:-/tmp}/sandbook-stack-XXXXXX")
pids=
trap 'stop' EXIT
trap 'exit 0' INT TERM

say() { printf '%s\n' "stack: $*"; }
fail() { printf '%s\n' "stack: $*" >&2; exit 1; }

start() {
    name=$1
    shift
    "$@" >"$state/$name.log" 2>&1 &
    pids="$! $pids"
}

# In the order in which it was started, the last first.
stop() {
    trap - EXIT
    docker -H "$docker" rm -f sandbook-sick >/dev/null 2>&1 || true
    for pid in $pids; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$state"
}

until_answers() {
    name=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { tail -n 20 "$state/$name.log" >&2; fail "$name did not come up in 30 s"; }
        sleep 0.1
    done
}


docker=${DOCKER_HOST:-unix:///var/run/docker.sock}
if ! docker -H "$docker" version >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || fail "no Docker engine answers at $docker, and starting one needs root"
    docker=unix://$state/docker.sock
    say "no Docker engine answers; starting one in $state"
    start dockerd dockerd --data-root "$state/docker" --exec-root "$state/exec" --pidfile "$state/docker.pid" --host "$docker" \
        --bridge=none --iptables=false --ip6tables=false
    until_answers dockerd docker -H "$docker" version
fi

cp -R "$root/monitoring/prometheus" "$root/monitoring/alertmanager" "$state/"
mkdir "$state/policy"
cp "$root/examples/compose/policy/shop.cedar" "$state/policy/"
for name in you viewer sender; do
    (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$state/$name")
done
cp "$state/viewer" "$state/prometheus/sandbook-viewer-token"
cp "$state/sender" "$state/alertmanager/sandbook-sender-token"
cat >>"$state/prometheus/prometheus.yml" <<'JOB'
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:9100"]
JOB
cat >"$state/sandbook.toml" <<CONFIG
data_dir = "$state/data"
[docker.hosts.local]
endpoint = "$docker"
[prometheus]
url = "http://127.0.0.1:9090"
[alertmanager]
url = "http://127.0.0.1:9093"
receiver = "sandbook"
watchdog = "10m"
[policy]
dirs = ["$state/policy"]
[runbooks.stages]
[auth]
mode = "token"
[auth.tokens.you]
role = "admin"
person = "you"
token_file = "$state/you"
[auth.tokens.prometheus]
role = "viewer"
token_file = "$state/viewer"
[auth.tokens.alertmanager]
role = "sender"
token_file = "$state/sender"
CONFIG

start sandbook "$binary" serve --config "$state/sandbook.toml"
until_answers sandbook "$binary" health
start prometheus prometheus --config.file="$state/prometheus/prometheus.yml" --web.listen-address=127.0.0.1:9090 \
    --storage.tsdb.path="$state/tsdb"
start alertmanager prometheus-alertmanager --config.file="$state/alertmanager/alertmanager.yml" --web.listen-address=127.0.0.1:9093 \
    --storage.path="$state/am" --cluster.listen-address=
start node-exporter prometheus-node-exporter --web.listen-address=127.0.0.1:9100

image=$state/image
mkdir -p "$image/bin" "$image/tmp"
cp "$(command -v busybox)" "$image/bin/busybox"
for tool in sh test touch rm sleep echo; do ln -s busybox "$image/bin/$tool"; done
tar -C "$image" -c . | docker -H "$docker" import - sandbook-stack:latest >/dev/null
docker -H "$docker" rm -f sandbook-sick >/dev/null 2>&1 || true
docker -H "$docker" run -d --init --name sandbook-sick --network none --label com.docker.compose.project=demo \
    --label com.docker.compose.service=shop --health-cmd 'test -f /tmp/well' --health-interval 5s --health-retries 2 \
    sandbook-stack:latest /bin/sh -c "touch /tmp/well; echo ready; sleep ${SICK_AFTER:-120}; echo 'ERROR pool exhausted'; rm /tmp/well; sleep 1000000" >/dev/null

cat <<TEXT

  console        http://127.0.0.1:7070        token: $(cat "$state/you")
  prometheus     http://127.0.0.1:9090
  alertmanager   http://127.0.0.1:9093
  logs           $state/*.log

  The container sandbook-sick falls ill ${SICK_AFTER:-120} seconds after each start. restart-unhealthy watches it in shadow; let it act with
    export SANDBOOK_CONFIG=$state/sandbook.toml SANDBOOK_TOKEN=\$(cat $state/you)
    $binary promote restart-unhealthy live --reason 'trying it'
    $binary watch

  Ctrl-C ends everything.
TEXT
wait
