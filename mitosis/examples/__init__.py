"""Experiments to begin with; they import nothing of mitosis."""
