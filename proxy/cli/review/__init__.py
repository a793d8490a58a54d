"""What access is needed, as far as the record tells."""
