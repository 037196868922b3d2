"""Requests from outside, by MQTT and by the local socket: read, carried out, answered."""
