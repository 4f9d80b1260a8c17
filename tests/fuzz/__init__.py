"""Readers are given damaged and hostile files: a short form among the tests, a long one with ``make soak``."""
