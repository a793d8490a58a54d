"""Where the record goes besides the database: each sink is sent every record, at least once."""
