"""Speech from several datasets gathered into one published dataset, exactly once."""
