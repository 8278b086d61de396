"""Going on behind a dataset that the older program has gathered.

Its checkpoints (regular, streaming, unified 2.0) count rows that never arrived and rows that
arrived twice, so none of their positions can be trusted. What the target holds can: its rows are
counted a source, by reading nothing but the two columns that tell.
"""
