"""What is true before and after a trial: code, data, environment."""
