"""From cameras to MQTT, by way of the Interhuman social-signal API."""

__version__ = "0.2.0"
