"""Music for the melodica robot: from a MIDI file to duties, and to a performance."""
