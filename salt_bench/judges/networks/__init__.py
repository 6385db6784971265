"""Networks of the judges, with weights that ship inside packages."""
