"""MIDI files, their clocks, and a small synthesiser for previews."""
