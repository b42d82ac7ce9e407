"""Plugin discovery: finds what is installed, loads each plugin alone and limited, reports on every one.

``assemble()`` is the way in; ``Assembly`` is what the runtime and the server build on.
"""

from palaver.assembly.assembled import Assembly, HookResult
from palaver.assembly.manager import assemble
from palaver.assembly.report import PluginReport, PluginState

__all__ = ["Assembly", "HookResult", "PluginReport", "PluginState", "assemble"]
