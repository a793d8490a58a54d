"""`northgate record`: reading the record of what was decided."""
