"""What is live at one moment, immutable: instances, routes, and the chain that ties them together.

A call takes the snapshot once. A change builds a new snapshot and swaps it; running streams keep the
instances they lease.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from palaver.contracts.pipeline import Middleware
from palaver.domain import Call, ModelInfo
from palaver.pipeline import Fallback, Routes, Target, chain
from palaver.runtime.instances import Instance, InstanceState

__all__ = ["ListedModel", "Snapshot"]

#: Model names whose targets are remembered; callers choose names, so they must not grow without end.
_RESOLVED = 1024


@attrs.frozen
class ListedModel:
    """A model as ``/v1/models`` lists it: ``instance/model``."""

    id: str
    instance: str
    model: str
    plugin: str
    info: ModelInfo | None = None


class Snapshot:
    """Instances and routes of one moment; ``call`` passes a call through the whole chain.

    Args:
        deadline: Gives the deadline of a call that came without one.
    """

    def __init__(
        self,
        instances: Mapping[str, Instance],
        states: Mapping[str, InstanceState],
        routes: Routes,
        middlewares: Sequence[Middleware],
        deadline: Callable[[], float],
    ) -> None:
        self.instances = dict(instances)
        self.states = dict(states)
        self.routes = routes
        self._deadline = deadline
        self._resolved: dict[str, tuple[Target, ...]] = {}
        self.call: Callable[[Call[Any]], Any] = chain(middlewares, Fallback(self._targets, self._open_target))

    def _targets(self, model: str) -> tuple[Target, ...]:
        """Resolve *model*; what was found before is remembered, for as many names as callers honestly use."""
        targets = self._resolved.get(model)
        if targets is None:
            targets = self.routes.resolve(model)
            if len(self._resolved) < _RESOLVED:
                self._resolved[model] = targets
        return targets

    async def _open_target(self, call: Call[Any], target: Target) -> Any:
        instance = self.instances[target.instance]
        served_by, open_target = instance.target(target.model)
        request = call.request
        if request.model != target.model:
            request = attrs.evolve(request, model=target.model)
        deadline = self._deadline() if call.deadline is None else call.deadline
        call = Call(request, call.principal, call.request_id, call.purpose, deadline, call.run_id, served_by)
        instance.lease()
        try:
            result = await open_target(call)
        except BaseException:
            instance.release()
            raise
        if hasattr(result, "on_close"):
            result.on_close(lambda _: instance.release())
        else:
            instance.release()
        return result

    def models(self) -> tuple[ListedModel, ...]:
        """List the models the operator or a plugin's catalogue named, by instance."""
        listed: dict[str, ListedModel] = {}
        for name, instance in self.instances.items():
            catalog = {info.id: info for info in instance.spec.catalog}
            own = instance.claims.models
            default = self.routes.default
            if default is not None and default.instance == name:
                own = (default.model, *own)
            for model in (*own, *catalog):
                entry = ListedModel(f"{name}/{model}", name, model, instance.claims.plugin, catalog.get(model))
                listed.setdefault(entry.id, entry)
        return tuple(listed.values())

    def default_model(self) -> str:
        """Name the default target as ``instance/model``; empty when there is none."""
        default = self.routes.default
        return f"{default.instance}/{default.model}" if default else ""
