"""The networks behind the dimensions, each loaded from its official weight file, unchanged."""
