"""Nodes every flow needs."""
