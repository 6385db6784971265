"""The regression gate: a candidate against a baseline, judge by judge, with a margin and a known rate of false alarms."""
