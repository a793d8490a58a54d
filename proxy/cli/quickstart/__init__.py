"""`northgate quickstart`: a gateway, a server behind it and an agent, to be seen at work."""
