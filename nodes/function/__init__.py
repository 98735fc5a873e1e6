"""Nodes that change, route and delay messages."""
