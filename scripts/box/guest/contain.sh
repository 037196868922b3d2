# In the box, without the package: the same service as a container, as systemd/interhuman2mqtt.container says.
set -e
install -d /etc/interhuman2mqtt /etc/containers/systemd
cp /root/interhuman2mqtt.container /etc/containers/systemd
cat >/etc/interhuman2mqtt/interhuman2mqtt.toml <<T
[interhuman]
url = "ws://127.0.0.1:8765/v2/stream/analyze"
api_key = { file = "/run/secrets/interhuman-api-key" }
[mqtt]
url = "mqtt://localhost:1883"
[cameras.table]
source = "v4l2:/dev/video0"
microphone = "alsa:hw:CARD=Loopback,DEV=1"
size = "320x180"
fps = 5
T
chown -R 10001 /etc/interhuman2mqtt
systemctl daemon-reload
systemctl start interhuman2mqtt
