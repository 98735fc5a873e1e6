"""Nodes that write and read recorded series."""
