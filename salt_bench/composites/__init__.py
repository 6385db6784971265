"""Pure arithmetic from a table of scores to a benchmark's own numbers, with intervals. Needs no torch."""
