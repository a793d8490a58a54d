"""What Northgate keeps: the journal of what was decided, and the state decisions rest on."""
