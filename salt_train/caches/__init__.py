"""What a causal network remembers: one policy per file, data alone."""
