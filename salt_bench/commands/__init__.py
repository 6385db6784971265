"""Commands of `salt-bench` that are more than a few lines, one file per subject; each has `register(app)`."""
