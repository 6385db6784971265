"""What a benchmark asks and measures, ready for a study."""
