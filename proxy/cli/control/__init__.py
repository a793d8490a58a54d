"""The commands that talk to a running gateway over its control listener."""
