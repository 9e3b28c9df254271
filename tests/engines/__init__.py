"""Real engines on this machine's loopback, for the tests and for trying the how-to pages."""
