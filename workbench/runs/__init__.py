"""Typed notebook parameters, runs that appear whole or not at all, and clean notebooks."""
