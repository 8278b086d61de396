"""What a map is: formats, reading, sources, store, export."""
