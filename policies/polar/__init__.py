"""Polar, the dialect of Oso Cloud: parsed, checked, compiled and decided in process."""
