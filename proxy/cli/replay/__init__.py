"""Decisions of the past, decided again."""
