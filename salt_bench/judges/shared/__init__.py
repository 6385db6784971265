"""What several judges look at, computed once per clip: motion, appearance, and where the subject is."""
