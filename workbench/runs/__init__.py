"""Typed notebook parameters, runs that appear whole or not at all, and clean notebooks."""

from workbench.runs.places import input_path, output_folder
from workbench.runs.record import record

__all__ = ["input_path", "output_folder", "record"]
