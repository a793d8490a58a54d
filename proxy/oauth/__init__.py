"""The authorization server for machines: clients that prove who they are get their own tokens."""
