"""The storage's schema steps, found by the scheme of its address."""

from palaver import Migrations
from palaver.assembly import Assembly, PluginState
from palaver.config import ConfigInvalid, Loaded, NotConfigured, plugin_config

from palaver_server.cli.inspection import storage_scheme
from palaver_server.cli.loaded import find_plugins

__all__ = ["SchemaTrouble", "find_storage", "migrations_of"]


class SchemaTrouble(Exception):
    """There is no storage to ask; *known* when the check of the configuration says so as well."""

    def __init__(self, text: str, *, known: bool = False) -> None:
        super().__init__(text)
        self.known = known


def find_storage(loaded: Loaded) -> Assembly:
    """Load only the plugin of the configured storage.

    A storage plugin is named like its scheme or the beginning of it (``postgres`` for ``postgresql://``);
    only if none of that name offers the scheme are the others loaded too.
    """
    from importlib.metadata import entry_points

    from palaver.hookspecs import PROJECT

    scheme = storage_scheme(loaded.config)
    names = {point.name for point in entry_points(group=PROJECT)}
    near = sorted(name for name in names if name and (scheme.startswith(name) or name.startswith(scheme)))
    if near and scheme:
        assembly = find_plugins(loaded, allow=near)
        tried = [report for report in assembly.plugins if report.name in near]
        broken = [report for report in tried if report.state is not PluginState.LOADED]
        if broken or any(scheme in spec.schemes for spec in assembly.storages.values()):
            return assembly
    return find_plugins(loaded)


def migrations_of(loaded: Loaded, assembly: Assembly) -> Migrations | None:
    """Give the schema steps of the configured storage; ``None`` when it has no schema.

    Raises:
        SchemaTrouble: no storage has the scheme, or its options are wrong.
    """
    scheme = storage_scheme(loaded.config)
    spec = next((spec for spec in assembly.storages.values() if scheme in spec.schemes), None)
    if spec is None:
        broken = [
            f"\nplugin {report.name}: {report.reason}"
            for report in assembly.plugins
            if report.state in (PluginState.QUARANTINED, PluginState.DUPLICATE)
        ]
        raise SchemaTrouble(f"storage.url: no working storage has the scheme {scheme!r}{''.join(broken)}", known=True)
    options = {"url": loaded.config.storage.url, **loaded.config.storage.options}
    try:
        config = plugin_config(spec.config, options, loaded.environment, path="storage.options", origins=loaded.origins)
    except (ConfigInvalid, NotConfigured) as error:
        raise SchemaTrouble(str(error), known=True) from None
    return None if spec.migrations is None else spec.migrations(config)
