# In the box, with the package installed: configure it, and start cameras, sound, cloud and broker.
set -e
(umask 077; printf ih_key >/etc/credstore/interhuman-api-key)
cat >/etc/interhuman2mqtt/interhuman2mqtt.toml <<T
[interhuman]
url = "ws://127.0.0.1:8765/v2/stream/analyze"
api_key = { credential = "interhuman-api-key" }
[mqtt]
url = "mqtt://localhost:1883"
[cameras.table]
source = "v4l2:/dev/video0"
microphone = "alsa:hw:CARD=Loopback,DEV=1"
size = "320x180"
fps = 5
T
# The cloud is a copy, for it outlives the package.
[ -e /usr/lib/sim ] || cp -a /usr/lib/interhuman2mqtt /usr/lib/sim
printf '[Service]\nExecStart=/usr/lib/sim/bin/python3 -m interhuman2mqtt simulate --listen 127.0.0.1:8765 --key ih_key --save /var/tmp/sim\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/sim.service
printf 'vivid\nsnd-aloop\n' >/etc/modules-load.d/box.conf
# A microphone that one program at a time can open, as real ones are.
echo 'options snd-aloop pcm_substreams=1' >/etc/modprobe.d/box.conf
modprobe vivid
modprobe snd-aloop
systemctl daemon-reload
systemctl -q enable --now sim mosquitto
systemctl restart interhuman2mqtt
