"""Learning: streams of samples that training reads, with exact state, and what Lightning calls."""
