"""Configuration: schema, loading with the origin of each value, plugins' own settings, checks.

``load`` gives core's own part; a plugin's part follows with ``plugin_config`` once discovery found it.
"""

from palaver.config.loading import Loaded, load
from palaver.config.origins import ConfigInvalid, Origin, OriginKind, Problem
from palaver.config.schema import Config
from palaver.config.second_phase import NotConfigured, plugin_config

__all__ = [
    "Config",
    "ConfigInvalid",
    "Loaded",
    "NotConfigured",
    "Origin",
    "OriginKind",
    "Problem",
    "load",
    "plugin_config",
]
