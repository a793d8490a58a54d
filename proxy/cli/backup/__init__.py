"""The commands that keep the whole state in a file, and bring it back."""
