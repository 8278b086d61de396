"""Drum grooves: counted from a corpus of any size, smoothed, scored, sampled and humanised."""
