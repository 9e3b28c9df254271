"""The benchmark: `python -m tests.bench` measures mitosis side by side with what it is compared to."""
