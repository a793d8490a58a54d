"""Copying the journal to the database: once for each record, however often it is tried."""
