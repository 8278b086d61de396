"""A research workbench for rhythm and sound: rooms of plain functions that notebooks drive."""

__version__ = "0.1.0"
