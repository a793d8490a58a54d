"""The settings: one typed tree, from `northgate.toml` and the environment, or every mistake."""

from proxy.config.loading import load
from proxy.config.problems import Problem, SettingsError
from proxy.config.rendering import reference
from proxy.config.tree import Settings, Upstream
from proxy.config.values import Address

__all__ = ["Address", "Problem", "Settings", "SettingsError", "Upstream", "load", "reference"]
