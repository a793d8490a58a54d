"""The way to upstream servers: addresses that were checked, connections that remember nothing."""
