"""What the suite's statistics are worth: its own intervals and its own gate on judges whose truth is known."""
