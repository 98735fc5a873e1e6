"""Nodes of the energy domain."""
