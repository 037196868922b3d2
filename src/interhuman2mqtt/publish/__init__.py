"""Stage 3, events to MQTT."""
