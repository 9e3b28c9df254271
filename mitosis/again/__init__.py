"""Runs what was recorded again, in whole or in parts, and says what became of the number."""
