#!/bin/sh
# Build the image on a base made here, and run it below the folder $1 as the Containerfile says: read-only, without a
# capability. Run in a mount namespace of its own (unshare --mount), as root.
set -eux
cd "$(dirname "$0")/../.."
FOLDER=$1
RUN=$(mktemp -d) # podman takes no runroot of more than 50 characters
podman() { command podman --root "$FOLDER/store" --runroot "$RUN" --cgroup-manager cgroupfs "$@"; }
inside() { podman exec box "$@"; }
# Where a machine has cgroups of both versions, crun refuses to run; and no process may raise its own limits everywhere.
mount | grep -q '^cgroup .*type cgroup ' && umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
LIMITS='--cgroups=disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024'
trap 'podman rm --force --time 0 page box; podman rmi --all --force; rm -rf "$RUN"' EXIT

# Debian with Python, and with the authorities that this machine trusts.
mmdebstrap --quiet --variant=minbase --include=python3-venv,ca-certificates \
    --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' trixie "$FOLDER/base.tar"
podman import --quiet "$FOLDER/base.tar" localhost/base
podman build --quiet --isolation chroot --network host --format docker --build-arg BASE=localhost/base --tag localhost/i2m .
podman image inspect --format '{{.HealthCheck.Test}} {{.User}}' localhost/i2m | grep '^.CMD interhuman2mqtt health. 10001:10001$'

mkdir "$FOLDER/etc"
cat >"$FOLDER/etc/interhuman2mqtt.toml" <<'END'
[interhuman]
url = "ws://127.0.0.1:1/v2/stream/analyze"
api_key = { env = "KEY" }
[mqtt]
url = "mqtt://localhost:1"
[cameras.front]
source = "test:"
[cameras.table]
source = "browser:"
END
# shellcheck disable=SC2086
podman run --detach --name box $LIMITS --network host --read-only --cap-drop all --security-opt no-new-privileges \
    --no-healthcheck --env KEY=key --volume "$FOLDER/etc:/etc/interhuman2mqtt:ro" \
    --volume browser:/run/interhuman2mqtt/browser localhost/i2m
for _ in 1 2 3 4 5 6 7 8 9 10; do inside interhuman2mqtt health && break; sleep 1; done
inside interhuman2mqtt health | grep 'every part of the daemon moves'
inside id | grep '^uid=10001.interhuman2mqtt. gid=10001.interhuman2mqtt. groups=10001.interhuman2mqtt.$'
inside grep -h '^CapEff:.0*$' /proc/1/status
if inside touch /opt/interhuman2mqtt/x; then exit 1; fi
inside interhuman2mqtt restart front
echo '[cameras.desk]' >>"$FOLDER/etc/interhuman2mqtt.toml"
if inside interhuman2mqtt reload; then exit 1; fi
echo 'source = "test:"' >>"$FOLDER/etc/interhuman2mqtt.toml"
inside interhuman2mqtt reload | grep 'started: desk'
for _ in 1 2 3 4 5 6 7 8 9 10; do podman logs box 2>&1 | grep '"source opened", "camera": "desk"' && break; sleep 1; done
podman logs box 2>&1 | grep -q '"source opened", "camera": "desk"'

# The page, of the same image, reaches the socket of a camera that is a browser, and changes nothing there.
# shellcheck disable=SC2086
podman run --detach --name page $LIMITS --network host --read-only --cap-drop all --security-opt no-new-privileges \
    --no-healthcheck --env STATE_DIRECTORY=/var/lib/interhuman2mqtt-web --volume page:/var/lib/interhuman2mqtt-web \
    --volume browser:/run/interhuman2mqtt/browser:ro localhost/i2m web --broker mqtt://localhost:1 --listen 127.0.0.1:18443
for _ in 1 2 3 4 5 6 7 8 9 10; do podman logs page 2>&1 | grep 'the page is served' && break; sleep 1; done
CONNECT='import socket; s = socket.socket(socket.AF_UNIX); s.connect("/run/interhuman2mqtt/browser/table"); print(s.recv(99))'
podman exec page /opt/interhuman2mqtt/bin/python3 -c "$CONNECT" | grep buffer
if podman exec page touch /run/interhuman2mqtt/browser/x; then exit 1; fi
podman stop --time 10 page
test "$(podman inspect --format '{{.State.ExitCode}}' page)" = 0
podman stop --time 30 box
test "$(podman inspect --format '{{.State.ExitCode}}' box)" = 0
