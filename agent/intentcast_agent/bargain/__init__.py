"""Bargaining over several issues at once, as values: no I/O, no clock, no randomness of its own."""
