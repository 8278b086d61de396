"""Positions that resume exactly, counts that add, and workers that survive a killed process."""
