#!/bin/bash
# A real edge box, judged: Debian with systemd as the first process and Debian's own kernel in QEMU, a V4L2 camera
# (vivid), an ALSA microphone (snd-aloop), a USB camera (guest/uvcam.py), Mosquitto, the simulator of the cloud, and this
# project as its Debian package, and as a container where podman has Quadlet (13).
#
#   make box REL=12         or: scripts/box/box.sh 12|13. Builds what is not cached, boots, installs, judges; prints PASS
#                           and FAIL lines with the seconds since the start, and ends with 1 if there was a FAIL
#   scripts/box/box.sh build 12|13     only the image
#   scripts/box/box.sh clean           forget all images
#
# Environment: BOX_SOURCE   the repository, whose package is what is installed (default: this one)
#              BOX_HOME     where images are kept (default: ~/.cache/interhuman2mqtt-box)
#              BOX_SHORT=1  only install, stream, record, stop: no unplugging, power cut, watchdog, clock
#              BOX_ONLY=usb only the USB camera; or microphone: one alone; browser: one as a camera, by the page; package:
#                           upgrade, downgrade, purge; container: the Quadlet unit; or several of them
#              BOX_NICE=-5  how nice the machine is to others; what the emulator gets too little of the box fails by
#              BOX_KEEP=1   leave the machine running, with a line how to enter it
#
# Needs root, and Debian's mirrors as this machine has them. The box has no network but ssh on a port of 127.0.0.1. It
# runs by QEMU's own emulation (TCG), so that it boots everywhere: figures of CPU mean nothing in it, and video has to be
# small (320x180 at 5 frames a second).
set -uo pipefail
HERE=$(dirname "$(realpath "$0")")
WHAT=${1:-12}; REL=${2:-$WHAT}; [ "$REL" = build ] && REL=12
H=${BOX_HOME:-$HOME/.cache/interhuman2mqtt-box}; SRC=$(realpath "${BOX_SOURCE:-$HERE/../..}")
[ "$WHAT" = clean ] && { rm -rf "$H"; exit; }
case $REL in 12) SUITE=bookworm;; 13) SUITE=trixie;; *) echo "12 or 13?" >&2; exit 2;; esac
mkdir -p "$H"; cd "$H" || exit 3
T0=$(date +%s); FAILS=0; QEMU=0
ONLY=${BOX_ONLY:-all}; [ -n "${BOX_SHORT:-}" ] && ONLY=short
wanted() { local story; for story; do case " $ONLY " in *" $story "*) return;; esac; done; return 1; }

took() { echo "$(( $(date +%s) - T0 )) s"; }
pass() { printf '%6s  PASS  %s\n' "$(took)" "$*"; }
fail() { printf '%6s  FAIL  %s\n' "$(took)" "$*"; FAILS=$((FAILS + 1)); }
note() { printf '%6s        %s\n' "$(took)" "$*"; }
judge() {  # what, command: PASS if it ends with 0, else FAIL and its last lines
  local what=$1; shift
  if "$@" >"$H/last" 2>&1; then pass "$what"; else fail "$what"; sed 's/^/                /' "$H/last" | cut -c1-220 | tail -5; fi
}

for tool in qemu-system-x86_64 mmdebstrap; do
  command -v $tool >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends qemu-system-x86 qemu-utils mmdebstrap >/dev/null
done
[ -f key ] || ssh-keygen -q -t ed25519 -N '' -f key

# --- the image

mirror() {  # where this machine's own packages come from
  sed -n "s#^URIs: *\([^ ]*/$1\)/*\$#\1#p; s#^deb [^h]*\(http[^ ]*/$1\)/* .*#\1#p" /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -1
}
root() {  # Debian, once for each release
  local R=$1
  rm -rf "$R"
  mmdebstrap --quiet --variant=minbase --include=systemd-sysv,systemd-timesyncd,udev,dbus,kmod,linux-image-amd64,initramfs-tools,python3,ca-certificates,mosquitto,mosquitto-clients,alsa-utils,v4l-utils,openssh-server,iproute2,procps,jq$([ "$REL" = 13 ] && echo ,podman) \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; printf "MODULES=list\nCOMPRESS=gzip\n" >"$1/etc/initramfs-tools/conf.d/box"; printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"' \
    "$SUITE" "$R" "deb $(mirror debian) $SUITE main" "deb $(mirror debian-security) $SUITE-security main" || exit 3
  install -D -m 600 key.pub "$R/root/.ssh/authorized_keys"; chmod 700 "$R/root/.ssh"
  echo edge-1 >"$R/etc/hostname"; echo '127.0.0.1 localhost edge-1' >"$R/etc/hosts"; echo '/dev/vda / ext4 defaults 0 1' >"$R/etc/fstab"
  printf '[Match]\nName=eth0\n[Network]\nDHCP=yes\n' >"$R/etc/systemd/network/eth0.network"
  chroot "$R" systemctl -q enable systemd-networkd ssh; chroot "$R" systemctl -q mask systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer
  chroot "$R" ssh-keygen -A >/dev/null; touch "$R/etc/box-built"; note "root file system"
}
package() {  # package.deb, and the same as a later version
  make -s -C "$SRC" deb DEBIAN="$REL" ARCH=amd64 >/dev/null || exit 3
  cp "$(ls -t "$SRC"/dist/*+deb"$REL"_amd64.deb | head -1)" package.deb
  rm -rf later; dpkg-deb -R package.deb later; sed -i 's/^Version: .*/&.1/' later/DEBIAN/control; dpkg-deb -Zgzip -z1 --root-owner-group -b later later.deb >/dev/null; rm -rf later
}
image() {  # of the container: image.tar, on a Debian that has Python and trusts whom this machine trusts
  command -v podman >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends podman buildah >/dev/null
  [ -e "base$REL.tar" ] || mmdebstrap --quiet --variant=minbase --include=python3-venv,ca-certificates --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' "$SUITE" "base$REL.tar" "deb $(mirror debian) $SUITE main" || exit 3
  podman() { command podman --root "$H/store" --runroot "$H/store.run" --cgroup-manager cgroupfs "$@"; }
  podman import --quiet "base$REL.tar" localhost/base >/dev/null
  podman build --quiet --isolation chroot --network host --build-arg BASE=localhost/base --tag localhost/interhuman2mqtt "$SRC" >/dev/null || exit 3
  rm -f image.tar; podman save --quiet --output image.tar localhost/interhuman2mqtt || exit 3
  podman rmi --all --force >/dev/null; unset -f podman
}
contained() { [ "$REL" = 13 ] && wanted all container; }  # Debian 12's podman knows no Quadlet
build() {
  local R=$H/root$REL MARK
  package; MARK=$(cat package.deb "$SRC/systemd/interhuman2mqtt.container" "$SRC/Containerfile" | sha256sum)$(contained && echo " and the container")
  [ "$(cat "$H/image$REL.of" 2>/dev/null)" = "$MARK" ] && { note "image is there"; return; }
  [ -e "$R/etc/box-built" ] || root "$R"
  rm -rf "$R/usr/src/i2m" "$R/opt/interhuman2mqtt" "$R"/root/*.deb "$R/root/image.tar"; cp package.deb later.deb "$R/root"
  contained && { image; cp image.tar "$SRC/systemd/interhuman2mqtt.container" "$R/root"; }
  cp "$R"/boot/vmlinuz-* "vmlinuz$REL"; cp "$R"/boot/initrd.img-* "initrd$REL"
  rm -f "disk$REL"; truncate -s 8G "disk$REL"; mke2fs -q -F -t ext4 -d "$R" "disk$REL"; echo "$MARK" >"image$REL.of"; note "image"
}

# --- the machine

up() {  # boots the overlay
  [ -e run.qcow2 ] || qemu-img create -q -f qcow2 -b "disk$REL" -F raw run.qcow2
  PORT=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
  qemu-system-x86_64 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m 2048 -no-reboot -kernel "vmlinuz$REL" -initrd "initrd$REL" \
    -append 'root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off' -drive file=run.qcow2,if=virtio,format=qcow2,cache=writeback \
    -netdev "user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:$PORT-:22" -device virtio-net-pci,netdev=n,romfile= -device virtio-rng-pci \
    -monitor none -serial file:serial.log -display none </dev/null >qemu.log 2>&1 &
  QEMU=$!; [ -z "${BOX_NICE:-}" ] || { renice -n "$BOX_NICE" -p $QEMU; echo "$BOX_NICE" >/proc/$QEMU/autogroup; } >/dev/null
  for _ in $(seq 200); do box true 2>/dev/null && return 0; kill -0 $QEMU 2>/dev/null || return 1; sleep 1; done; return 1
}
# One connection for all commands: on a busy machine each handshake of the emulated box takes seconds, and may take too many.
SSH="ssh -q -i $H/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20 -o ControlMaster=auto -o ControlPath=$H/ssh-%p -o ControlPersist=yes"
box() { timeout "${LIMIT:-120}" $SSH -p "$PORT" root@127.0.0.1 "$@" </dev/null; }
put() { timeout 60 $SSH -p "$PORT" root@127.0.0.1 "cat >$1"; }
down() { box 'systemctl poweroff' 2>/dev/null; for _ in $(seq 40); do kill -0 $QEMU 2>/dev/null || return; sleep 1; done; kill -9 $QEMU; }
trap '[ -n "${BOX_KEEP:-}" ] || kill -9 $QEMU 2>/dev/null' EXIT
status() { box "timeout 5 mosquitto_sub -t interhuman/edge-1/${1:-table}/status -C 1"; }
streams() {  # seconds, camera
  for _ in $(seq "${1:-45}"); do status "${2:-table}" | grep -q '"state":"streaming"' && return 0; sleep 1; done
  status "${2:-table}"; box 'journalctl -u interhuman2mqtt -n 3 --no-pager -o cat'; return 1
}
says() {  # camera, pattern: of its status, within a minute
  for _ in $(seq 60); do status "$1" | tee /dev/stderr | grep -q "$2" && return 0; sleep 1; done; return 1
}
P=interhuman2mqtt
C=/etc/interhuman2mqtt/interhuman2mqtt.toml

# --- what is judged

installed() {
  LIMIT=300 judge "apt installs the package: the service is enabled and waits for a camera" box 'apt-get -qqy install /root/package.deb >&2 && systemctl is-enabled interhuman2mqtt && systemctl is-active interhuman2mqtt && systemctl show -P StatusText interhuman2mqtt | tee /dev/stderr | grep -q "no camera yet: add what"'
  judge "configured, systemd says READY" box 'bash /root/configure.sh && systemctl is-active interhuman2mqtt'
  judge "systemd-analyze security says OK" box 'systemd-analyze security interhuman2mqtt --no-pager | tail -1 | tee /dev/stderr | grep -q OK'
  judge "devices finds camera and microphone" box "$P devices --toml | tee /dev/stderr | grep -q 'v4l2:' && $P devices | grep -q CARD=Loopback"
  judge "a V4L2 camera with an ALSA microphone streams" streams 60
}
recorded() {
  LIMIT=300 box 'rm -f /var/tmp/sim/*; systemctl restart sim; systemctl restart interhuman2mqtt; sleep 10; python3 /root/flash.py 50; date +%s.%N >/root/stop; systemctl stop interhuman2mqtt; echo "$(date +%s.%N) $(cat /root/stop)" | awk "{print \$1-\$2}" >/root/stopped'
  judge "it stops in good order within 5 s ($(box 'cat /root/stopped') s)" box 'systemctl show -p Result interhuman2mqtt | grep -q success && awk "{exit \$1 > 5}" /root/stopped'
  judge "what arrived in the cloud" box 'cat $(ls -S /var/tmp/sim/*.mp4 | head -1) >/root/rec.mp4; /usr/lib/interhuman2mqtt/bin/python3 /root/judge.py /root/rec.mp4 5'; note "$(tail -1 last)"
}
apt_get() { echo "DEBIAN_FRONTEND=noninteractive apt-get -qqy -o Dpkg::Use-Pty=0 $* >&2"; }
pid() { box 'systemctl show -P MainPID interhuman2mqtt'; }
packaged() {
  local BEFORE; box 'systemctl -q stop uvcam 2>/dev/null; bash /root/configure.sh'; streams 90 >/dev/null; BEFORE=$(pid)
  box "sed -i 's/^__version__ = .*/__version__ = \"9.8.7\"/' /usr/lib/interhuman2mqtt/lib/python3*/site-packages/interhuman2mqtt/__init__.py; pkill -KILL -f interhuman2mqtt.capture"
  LIMIT=200 judge "a daemon whose program was replaced ends, and systemd starts it anew" box "for i in \$(seq 60); do p=\$(systemctl show -P MainPID interhuman2mqtt); [ \$p != $BEFORE ] && systemctl is-active -q interhuman2mqtt && break; sleep 2; done; journalctl -u interhuman2mqtt -o cat -n 99 --no-pager | grep 'the program was replaced' && systemctl is-active interhuman2mqtt && test \$(systemctl show -P MainPID interhuman2mqtt) != $BEFORE"
  judge "... and it streams" streams 90; BEFORE=$(pid)
  LIMIT=300 judge "an upgrade stops and starts the service, and asks nothing" box "$(apt_get install /root/later.deb) </dev/null && systemctl is-active interhuman2mqtt && test \$(systemctl show -P MainPID interhuman2mqtt) != $BEFORE && dpkg-query -W interhuman2mqtt | grep '\.1\$' && journalctl -u interhuman2mqtt -o cat -n 300 --no-pager | grep -q 'Deactivated successfully'"
  judge "... and it streams as before" streams 90
  LIMIT=300 judge "a downgrade of a service that stands still leaves it so" box "systemctl stop interhuman2mqtt; $(apt_get install --allow-downgrades /root/package.deb) && ! systemctl is-active interhuman2mqtt"
  LIMIT=300 judge "who disables it finds it disabled after an upgrade" box "systemctl -q disable interhuman2mqtt; $(apt_get install /root/later.deb) && ! systemctl is-enabled interhuman2mqtt && ! systemctl is-active interhuman2mqtt; r=\$?; systemctl -q enable --now interhuman2mqtt; exit \$r"
  judge "it streams" streams 90
  LIMIT=300 judge "remove stops it, and keeps configuration and outbox" box "$(apt_get remove interhuman2mqtt) && ! systemctl is-active interhuman2mqtt && test -e $C && test -e /var/lib/interhuman2mqtt/outbox.sqlite && ! test -e /usr/lib/interhuman2mqtt"
  LIMIT=300 judge "installed again it goes on" box "$(apt_get install /root/package.deb) && systemctl is-active interhuman2mqtt"
  judge "... and streams" streams 90
  LIMIT=300 judge "purge leaves nothing" box "$(apt_get purge interhuman2mqtt) && ! ls -d /etc/interhuman2mqtt /var/lib/interhuman2mqtt /usr/lib/interhuman2mqtt /run/interhuman2mqtt && ! ls /etc/systemd/system/*/interhuman2mqtt*.service"
}
container() {
  contained || return
  box 'id interhuman2mqtt >/dev/null && systemctl stop interhuman2mqtt && apt-get -qqy purge interhuman2mqtt' >/dev/null 2>&1
  LIMIT=600 judge "podman takes the image" box 'podman load -q -i /root/image.tar && rm /root/image.tar && printf ih_key | podman secret create interhuman-api-key -'
  LIMIT=400 judge "the Quadlet unit starts: systemd says READY" box 'bash /root/contain.sh && systemctl is-active interhuman2mqtt'
  judge "it streams from the camera" streams 120
  LIMIT=200 judge "a bad file fails the reload, a good one is taken over" box "F=$C;"' cp $F /root/good; sed -i s/^fps/fsp/ $F; ! systemctl reload interhuman2mqtt; r=$?; cat /root/good >$F; systemctl reload interhuman2mqtt && exit $r'
  LIMIT=200 judge "after 130 s it is healthy, and was never restarted" box 'sleep 130; podman inspect --format "{{.State.Health.Status}}" interhuman2mqtt | tee /dev/stderr | grep -qx healthy && systemctl show -p NRestarts interhuman2mqtt | grep "=0"'
  box 'echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind; sleep 15; echo vivid.0 >/sys/bus/platform/drivers/vivid/bind'; judge "a camera that is plugged in again streams, without a restart" streams 60
  down; up && judge "after a boot it has its camera" streams 180
}
reloaded() {
  box "sed -i '/^microphone/d' $C; systemctl restart interhuman2mqtt"; judge "it streams without a microphone" streams 60
  judge "a bad file fails the reload, and changes nothing" box "F=$C;"' cp $F /root/good; sed -i s/^fps/fsp/ $F; ! systemctl reload interhuman2mqtt && journalctl -u interhuman2mqtt -n 9 -o cat --no-pager | grep -q "fsp: unknown key"; r=$?; cp /root/good $F; systemctl is-active -q interhuman2mqtt && exit $r'
  judge "a good file is taken over" box 'systemctl reload interhuman2mqtt'
  judge "what a reload says of secrets is true" box 'journalctl -u interhuman2mqtt -o cat --no-pager | grep -i "may not be read by you\|inherited credential" && exit 1; true'
  judge "a wrong file at the start is an error to journalctl -p err, and no restart" box "F=$C;"' cp $F /root/good; echo "nonsense = 1" >>$F; systemctl restart interhuman2mqtt; sleep 4; journalctl -u interhuman2mqtt -p err -n 5 -o cat --no-pager | grep nonsense; r=$?; systemctl show -p ExecMainStatus interhuman2mqtt | grep -q =78 || r=1; cp /root/good $F; systemctl reset-failed interhuman2mqtt; systemctl start interhuman2mqtt; exit $r'
  streams 60 >/dev/null; judge "events reach a subscriber" box 'timeout 40 mosquitto_sub -t "interhuman/+/table/event/#" -C 3'
}
unplugged() {
  box 'echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind'; sleep 3
  judge "an unplugged camera is told, with its reason" bash -c "$(declare -f status box); PORT=$PORT SSH='$SSH'; status | tee /dev/stderr | grep -q '\"reason\":\"not_found\"'"
  judge "... and never had another one" box 'journalctl -u interhuman2mqtt -o cat --no-pager | grep invalid_media && exit 1; true'
  box 'sleep 40; echo vivid.0 >/sys/bus/platform/drivers/vivid/bind'; T=$(date +%s); judge "plugged in again it streams" streams 60; note "after $(( $(date +%s) - T )) s"
}
frozen() {
  box 'kill -STOP $(systemctl show -p MainPID --value interhuman2mqtt)'; sleep 45
  judge "a daemon that stands still is killed by the watchdog and started anew" box 'systemctl show -p NRestarts interhuman2mqtt | tee /dev/stderr | grep -q "=1"'
  streams 60 >/dev/null
}
power_cut() {
  LIMIT=300 box 'timeout 2 mosquitto_sub -c -i rec -q 1 -t "interhuman/+/table/event/#" >/dev/null; systemctl -q disable --now mosquitto; systemctl restart interhuman2mqtt; rm -f /var/tmp/sim/*; systemctl restart sim'
  for _ in $(seq 20); do sleep 10; box 'cat /var/tmp/sim/sessions.jsonl' >sim.jsonl; [ "$(grep -c '"what":"event"' sim.jsonl)" -ge 12 ] && break; done; kill -9 $QEMU; wait $QEMU 2>/dev/null; note "power cut"
  up && LIMIT=240 box 'systemctl start mosquitto; for i in $(seq 60); do timeout 3 mosquitto_sub -t interhuman/edge-1/bridge/state -C 1 | grep -q online && break; sleep 1; done; timeout 15 mosquitto_sub -c -i rec -q 1 -F %p -t "interhuman/+/table/event/#"' >got.jsonl
  judge "after a power cut every event that had come is published, in order" python3 "$HERE/published.py" sim.jsonl got.jsonl
  note "$(tail -1 last)"; judge "it streams again by itself" streams 90
}
stepped() {
  LIMIT=300 box 'python3 -c "import time; time.clock_settime(0, time.time() + 3600)"; sleep 20; timeout 150 mosquitto_sub -F %p -t "interhuman/+/table/event/#" -C 8 >/root/ev'
  judge "after a step of the clock the events have the new time" box 'python3 /root/clock.py </root/ev'
}
usb() {  # a USB camera that has raw video at 10 frames a second and MJPEG at 30, both at 1280x720
  "$SRC/.venv/bin/python" "$HERE/frames.py" frames.pickle || return
  put /root/frames.pickle <frames.pickle
  plug() { box "modprobe -a vhci-hcd uvcvideo; systemctl reset-failed uvcam 2>/dev/null; systemd-run -q --unit=uvcam python3 /root/uvcam.py /root/frames.pickle CAM0001 $1; for i in \$(seq 20); do sleep 0.5; grep -ls 'HD Webcam' /sys/class/video4linux/*/name && exit; done"; }
  box 'systemctl stop interhuman2mqtt; rmmod vivid'; plug 1 >/dev/null
  judge "devices lists the USB camera, and what it is opened as" box "$P devices | tee /dev/stderr | grep -q 'opened as mjpeg 1280x720 30 fps'"; sed 's/^/                /' last | head -12
  judge "devices --toml proposes what it has" box "$P devices --toml | tee /root/usb.toml | tee /dev/stderr | grep -q 'fps = 30'"; sed 's/^/                /' last
  judge "it is opened at 1280x720 with 30 frames a second by MJPEG" box '/usr/lib/interhuman2mqtt/bin/python3 /root/rate.py v4l2:CAM0001'; note "$(tail -1 last)"
  judge "twenty programs have it one after another, though every other one is killed" box 'D=$(grep -ls "HD Webcam" /sys/class/video4linux/*/name | head -1); D=/dev/$(basename $(dirname $D)); for i in $(seq 10); do timeout -s KILL 1.$i v4l2-ctl -d $D --stream-mmap >/dev/null 2>&1; timeout 20 v4l2-ctl -d $D --stream-mmap --stream-count=3 || exit 1; done'
  judge "probe says which" box "$P probe v4l2:CAM0001 --seconds 3 2>&1 | tee /dev/stderr | grep -q 'mjpeg 1280x720 30 fps'"; sed 's/^/                /' last
  box "sed -i '/^\[cameras/,\$d' $C; sed 's/^size.*/size = \"640x360\"/; s/^fps.*/fps = 5/; s/^\[cameras.*/[cameras.usb]/' /root/usb.toml | grep -v '^#' >>$C; cat $C >&2; systemctl start interhuman2mqtt" 2>/dev/null
  judge "it streams" streams 90 usb; note "source: $(status usb | jq -r .source)"
  T=$(date +%s); box 'systemctl stop uvcam'; sleep 3
  judge "the plug is pulled: not_found" bash -c "$(declare -f status box); PORT=$PORT SSH='$SSH'; status usb | tee /dev/stderr | grep -q '\"reason\":\"not_found\"'"; note "$(jq -r .detail last 2>/dev/null)"
  sleep 40; plug 2 >/dev/null; judge "plugged in on another port after 40 s it streams" streams 60 usb
  box 'journalctl -u interhuman2mqtt -o short-precise --no-pager | grep -v "session ready" | tail -8' | cut -c1-230 | sed 's/^/                /'
}

microphone() {  # alone: audio without video
  local EAR=alsa:hw:CARD=Loopback,DEV=1
  box "systemctl stop interhuman2mqtt; rm -f /var/tmp/sim/*; systemctl restart sim; sed -i '/^\\[cameras/,\$d' $C; printf '[cameras.ear]\nsource = \"$EAR\"\nmodel = \"inter-2-audio\"\n' >>$C; interhuman2mqtt check >&2; systemd-run -q --unit=tone sh -c 'exec speaker-test -D hw:CARD=Loopback,DEV=0 -r 48000 -c 1 -F S16_LE -t sine -f 440'"
  judge "devices lists the microphone" box "$P devices | tee /dev/stderr | grep -q $EAR"; sed 's/^/                /' last | head -8
  LIMIT=300 judge "probe opens it alone, and says what it is" box "$P probe $EAR --seconds 3 2>&1 | tee /dev/stderr | grep -q 48000"; sed 's/^/                /' last
  box 'systemctl start interhuman2mqtt'; judge "a microphone alone streams" streams 60 ear; note "source: $(status ear | jq -rc .source)"
  LIMIT=300 judge "devices says that it is in use, and probe by whom" box "$P devices | grep -q 'in use' && $P probe $EAR --seconds 3 2>&1 | tee /dev/stderr | grep -q '^busy.*in use by '"; sed 's/^/                /' last
  judge "events of it reach a subscriber" box 'timeout 60 mosquitto_sub -t "interhuman/+/ear/event/#" -C 2'
  box 'echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind'; judge "unplugged: its reason" says ear '"reason":"not_found"'; note "$(tail -1 last | jq -r .detail)"
  LIMIT=300 judge "probe, doctor and devices say that it is not there" box "$P probe $EAR --seconds 3 2>&1 | tee /dev/stderr | grep -q ^not_found && ! $P devices | grep Loopback && $P doctor | tee /dev/stderr | grep -q 'ear.*not_found'"; sed 's/^/                /' last
  sleep 20; box 'echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind'; T=$(date +%s); judge "plugged in again it streams" streams 60 ear; note "after $(( $(date +%s) - T )) s"
  judge "it never had another reason" box 'journalctl -u interhuman2mqtt -o cat --no-pager | grep ear | grep "invalid_media\|source_ended\|worker_" && exit 1; true'
  box 'systemctl stop interhuman2mqtt; cat $(ls -S /var/tmp/sim/* | grep -v jsonl | head -1) >/root/ear.mp4'; judge "what arrived in the cloud is the tone, without video" box '/usr/lib/interhuman2mqtt/bin/python3 /root/heard.py /root/ear.mp4 440'; note "$(tail -1 last)"
  box "systemd-run -q --unit=other arecord -q -D hw:CARD=Loopback,DEV=1 -f S16_LE -r 48000 -c 2 /dev/null; sleep 1; systemctl start interhuman2mqtt"
  judge "in use by another program: which" says ear '"reason":"busy".*in use by process [0-9]'; note "$(tail -1 last | jq -r .detail)"
  box 'systemctl stop other'; judge "when that has ended it streams" streams 90 ear
}
browser() {  # a Chromium on this machine is the box's camera, by the page
  local WEB; WEB=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
  box "systemctl stop interhuman2mqtt; sed -i '/^\\[cameras/,\$d' $C; printf '[cameras.lap]\nsource = \"browser:\"\n' >>$C; install -d /etc/interhuman2mqtt-web; printf '[mqtt]\nurl = \"mqtt://localhost:1883\"\n' >/root/web.toml; install -Dm640 -g interhuman2mqtt-web /root/web.toml /etc/interhuman2mqtt-web/web.toml; systemctl start interhuman2mqtt; systemctl -q enable --now interhuman2mqtt-web"
  judge "the page runs under its unit" box 'for i in $(seq 30); do journalctl -u interhuman2mqtt-web -o cat --no-pager | grep "the page is served" && break; sleep 1; done; systemctl is-active interhuman2mqtt-web'
  judge "systemd-analyze security says OK of it" box 'systemd-analyze security interhuman2mqtt-web --no-pager | tail -1 | tee /dev/stderr | grep -q OK'
  $SSH -p "$PORT" -O forward -L "127.0.0.1:$WEB:127.0.0.1:8443" root@127.0.0.1
  judge "invite makes a link" box "$P invite lap --for 1h --json --url http://localhost:$WEB/"; LINK=$(jq -r .link last)
  "$SRC/.venv/bin/python" "$HERE/chromium.py" "$LINK" >chromium.log 2>&1 & CHROMIUM=$!
  judge "a browser is the camera, by the page's user and /run/interhuman2mqtt/browser" streams 90 lap; note "source: $(status lap | jq -rc .source); $(box 'stat -c "%A %U:%G %n" /run/interhuman2mqtt /run/interhuman2mqtt/browser /run/interhuman2mqtt/browser/lap' | tr '\n' ' ')"
  again() { sleep 3; judge "$1" streams 120 lap; }
  box 'systemctl daemon-reload'; again "after a daemon-reload it streams on"
  box 'systemctl restart interhuman2mqtt-web'; again "after a restart of the page it streams again by itself"
  box 'systemctl restart interhuman2mqtt'; again "after a restart of the service it streams again by itself"
  box "$P pause lap"; sleep 5; judge "paused, its socket is gone" box '! ls /run/interhuman2mqtt/browser/lap'; judge "... and the browser has turned the camera off" sh -c 'tail -1 chromium.log | tee /dev/stderr | grep "  off:"'
  box "$P resume lap"; again "resumed it streams again by itself"
  LIMIT=300 box "$(apt_get install /root/later.deb)"; judge "after an upgrade both units run" box 'systemctl is-active interhuman2mqtt && systemctl is-active interhuman2mqtt-web'
  again "... and the browser is the camera again"
  kill $CHROMIUM; sed 's/^/                /' chromium.log | tail -40 | cut -c1-200
  judge "the page's journal has no error" box 'journalctl -u interhuman2mqtt-web -p warning -o cat --no-pager | grep . && exit 1; true'
}

build; [ "$WHAT" = build ] && exit
rm -f run.qcow2; up && pass "Debian $REL boots: $(box 'systemd-analyze | head -1')" || { fail "no boot"; tail -5 serial.log; exit 1; }
tar -C "$HERE/guest" -c . | timeout 60 $SSH -p "$PORT" root@127.0.0.1 'tar -C /root -x'
installed
wanted all short && { recorded; reloaded; }
wanted all && { unplugged; frozen; power_cut; stepped; }
wanted all microphone && microphone
wanted all browser && browser
wanted all usb && usb
wanted all package && packaged
wanted all container && container
[ -n "${BOX_KEEP:-}" ] && echo "ssh -i $H/key -p $PORT root@127.0.0.1   (qemu $QEMU)" || down
echo "$(took), $FAILS failed"; exit $((FAILS > 0))
