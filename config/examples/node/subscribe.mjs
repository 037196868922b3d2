// Prints each signal that begins: `npm install mqtt`, then `node subscribe.mjs mqtt://HOST:PORT`.
//
// With a user it is mqtt://USER@HOST:PORT, and the password comes from $MQTT_PASSWORD: on the command line every user of
// the machine could read it. With TLS it is mqtts://, and $NODE_EXTRA_CA_CERTS names the file of an authority of your own.
import mqtt from "mqtt";

const EVENTS = "interhuman/+/+/event/signal.detected";
const client = mqtt.connect(process.argv[2], { password: process.env.MQTT_PASSWORD });

// Of all boxes and cameras; the library subscribes anew on each connection.
client.on("connect", () =>
  client.subscribe(EVENTS, { qos: 1 }, (error, granted) => {
    // Some brokers let everybody in, and not everybody read everything.
    if (error || granted?.[0]?.qos >= 128) give_up(`the broker does not let us subscribe to ${EVENTS}: see its ACL`);
  }),
);

client.on("message", (_topic, payload) => {
  // With QoS 1 an event may come twice, and then has the same `id`.
  const event = JSON.parse(payload);
  console.log(event.start_at, event.box, event.camera, event.data.signal_type);
});

client.on("error", (error) => {
  // A code is the broker's own: it refused us, and will do so again. All else is tried again.
  if (typeof error.code === "number") give_up(`the broker refused us: ${error.message}: check user and $MQTT_PASSWORD`);
  console.error(error.message);
});

function give_up(why) {
  console.error(why);
  process.exit(1);
}
