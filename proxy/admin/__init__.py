"""The control plane: plain HTTP, one table of routes, and the same policy as everywhere else."""
