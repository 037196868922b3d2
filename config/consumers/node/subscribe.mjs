// Prints each signal that begins: `npm install mqtt`, then `node subscribe.mjs mqtt://HOST:PORT`.
import mqtt from "mqtt";

const client = mqtt.connect(process.argv[2]);

// Of all boxes and cameras; the library subscribes anew on each connection.
client.on("connect", () => client.subscribe("interhuman/+/+/event/signal.detected", { qos: 1 }));

client.on("message", (_topic, payload) => {
  // With QoS 1 an event may come twice, and then has the same `id`.
  const event = JSON.parse(payload);
  console.log(event.start_at, event.box, event.camera, event.data.signal_type);
});

client.on("error", (error) => console.error(error.message));
