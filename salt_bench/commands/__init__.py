"""Commands of `salt-bench`, one file each; cli.py puts them together."""
