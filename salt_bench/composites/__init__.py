"""Pure table to table scores: composites of dimensions."""
