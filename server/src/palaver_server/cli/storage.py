"""The configured storage, found by the scheme of its address, for whoever looks after its schema."""

from typing import Any

from palaver import StorageSpec
from palaver.assembly import Assembly, PluginState
from palaver.assembly.discovery import find
from palaver.config import ConfigInvalid, Loaded, NotConfigured, plugin_config
from palaver.hookspecs import PROJECT

from palaver_server.cli.inspection import storage_scheme
from palaver_server.cli.loaded import find_plugins

__all__ = ["StorageTrouble", "configured_storage", "find_storage"]

_BROKEN = (PluginState.QUARANTINED, PluginState.DUPLICATE)


class StorageTrouble(Exception):
    """There is no storage to ask; the check of the configuration says so as well."""


def find_storage(loaded: Loaded) -> Assembly:
    """Load only the plugin of the configured storage.

    A storage plugin is named like its scheme or the beginning of it (``postgres`` for ``postgresql://``);
    only if none of that name offers the scheme are the others loaded too.
    """
    scheme, allow = storage_scheme(loaded.config), loaded.config.plugins.allow
    near = [
        candidate
        for candidate in find(PROJECT)
        if candidate.name
        and (scheme.startswith(candidate.name) or candidate.name.startswith(scheme))
        and (not allow or any(candidate.matches(wanted) for wanted in allow))
    ]
    if near:
        # By distribution: another one may have taken the plugin's name without being allowed.
        assembly = find_plugins(loaded, allow=[candidate.distribution for candidate in near])
        names = {candidate.name for candidate in near}
        broken = any(plugin.name in names and plugin.state in _BROKEN for plugin in assembly.plugins)
        if broken or any(scheme in spec.schemes for spec in assembly.storages.values()):
            return assembly
    return find_plugins(loaded)


def configured_storage(loaded: Loaded, assembly: Assembly) -> tuple[StorageSpec[Any], Any]:
    """Give the configured storage's spec and its configuration.

    Raises:
        StorageTrouble: no storage has the scheme, or its options are wrong.
    """
    scheme = storage_scheme(loaded.config)
    spec = next((spec for spec in assembly.storages.values() if scheme in spec.schemes), None)
    if spec is None:
        broken = [f"\nplugin {report.name}: {report.reason}" for report in assembly.plugins if report.state in _BROKEN]
        raise StorageTrouble(f"storage.url: no working storage has the scheme {scheme!r}{''.join(broken)}")
    options = {"url": loaded.config.storage.url, **loaded.config.storage.options}
    try:
        config = plugin_config(spec.config, options, loaded.environment, path="storage.options", origins=loaded.origins)
    except (ConfigInvalid, NotConfigured) as error:
        raise StorageTrouble(str(error)) from None
    return spec, config
