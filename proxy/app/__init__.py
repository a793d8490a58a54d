"""The composition root: everything is built and wired here, and nowhere else."""

from proxy.app.gateway import Gateway, running

__all__ = ["Gateway", "running"]
