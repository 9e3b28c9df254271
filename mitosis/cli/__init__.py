"""The command line: one file per command; prints, and turns errors into exit codes."""
