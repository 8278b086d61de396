"""Typed notebook parameters, runs that appear whole or not at all, and clean notebooks."""

from workbench.runs.record import record

__all__ = ["record"]
