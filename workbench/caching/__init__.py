"""Files that appear whole or not at all, and fingerprints of what made them."""
