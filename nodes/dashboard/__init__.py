"""Nodes that pages are made of."""
