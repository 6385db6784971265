"""What benchmarks ask for: one file per prompt suite, and the names under which videos answer. Needs no torch."""
