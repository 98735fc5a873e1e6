"""Nodes that talk to the world: MQTT and HTTP."""
