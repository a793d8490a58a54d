"""The gateway under load, beside nginx as a bare proxy and beside no proxy at all."""
