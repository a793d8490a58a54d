"""The steps from one schema to the next, and how a database takes them."""
