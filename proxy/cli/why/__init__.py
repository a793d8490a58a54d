"""`northgate why`: why a call was allowed, or was not."""
