"""What the gateway tells of itself: metrics, traces, events. Never a token, never an argument."""
