"""What writes maps: tokens, features, windows."""
