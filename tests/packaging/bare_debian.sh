#!/bin/sh
# What becomes of the package $PACKAGE on the bare Debian below $1: a customize hook of mmdebstrap.
# It is the shell inside that expands:
# shellcheck disable=SC2016
set -eux
inside() { chroot "$ROOT" sh -exc "$1"; }
ROOT=$1

cp "$PACKAGE" "$ROOT/tmp/package.deb"
inside 'apt-get -qqy install --no-install-recommends /tmp/package.deb'
inside 'test "$(stat -c %U:%G:%a /etc/interhuman2mqtt/interhuman2mqtt.toml)" = root:interhuman2mqtt:640'
inside '! systemctl is-enabled interhuman2mqtt-web; /usr/lib/interhuman2mqtt/bin/python3 -c "import hypercorn, starlette"'
inside 'interhuman2mqtt check && systemctl is-enabled interhuman2mqtt && interhuman2mqtt probe test: --seconds 1'

# Changed by its owner, it is the same after an upgrade, and dpkg has nothing to ask.
inside 'echo "# mine" >>/etc/interhuman2mqtt/interhuman2mqtt.toml; touch /var/lib/interhuman2mqtt/outbox.sqlite'
inside 'dpkg -i /tmp/package.deb </dev/null; tail -1 /etc/interhuman2mqtt/interhuman2mqtt.toml | grep mine'

# Whoever enables the page finds nothing of it after a purge.
inside 'systemctl enable interhuman2mqtt-web && systemctl is-enabled interhuman2mqtt-web'

inside 'apt-get -qqy remove interhuman2mqtt; ! test -e /usr/lib/interhuman2mqtt'
inside 'test -e /etc/interhuman2mqtt/interhuman2mqtt.toml; test -e /var/lib/interhuman2mqtt/outbox.sqlite'
inside 'apt-get -qqy purge interhuman2mqtt; ! ls -d /etc/interhuman2mqtt /var/lib/interhuman2mqtt'
inside 'test -z "$(find / -xdev -path /proc -prune -o -path "*interhuman2mqtt*" -print)"'

# Who installed version 0.1 by hand keeps what runs, and is told how to move.
mkdir -p "$ROOT/etc/systemd/system" "$ROOT/etc/interhuman2mqtt"
echo 'ExecStart=/opt/interhuman2mqtt/bin/interhuman2mqtt run' >"$ROOT/etc/systemd/system/interhuman2mqtt.service"
echo '# theirs' >"$ROOT/etc/interhuman2mqtt/interhuman2mqtt.toml"
inside 'dpkg -i /tmp/package.deb | grep "To move to this package"; grep theirs /etc/interhuman2mqtt/interhuman2mqtt.toml'
