"""HTTP in: a listener that hands over well-formed requests for this gateway, and nothing else."""
