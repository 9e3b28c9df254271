"""How a trial is executed and shown."""
