"""From a model name to the targets that may serve it: pure, and never by the order of installation.

1. ``instance/model``, only if the text before the first slash is an instance.
2. An instance that lists the model by name.
3. The longest claimed prefix; among equals ``prefer``, then the instance named like its plugin.
Anything else is an error that lists what is known; only a request that names no model gets the default.
"""

from collections.abc import Mapping, Sequence

import attrs

from palaver.errors import ModelNotFound

__all__ = ["Claims", "Routes", "Target"]


@attrs.frozen
class Target:
    """An instance and the model id it is asked for."""

    instance: str
    model: str


@attrs.frozen
class Claims:
    """What one instance claims: models by name, and prefixes of model names."""

    instance: str
    plugin: str
    models: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@attrs.frozen
class Routes:
    """All claims of a snapshot, and the operator's wishes.

    Args:
        default: Target of requests that name no model.
        prefer: Instances, most wanted first.
        fallback: Model name → further targets as ``instance/model`` or a model name.
    """

    claims: Mapping[str, Claims]
    default: Target | None = None
    prefer: tuple[str, ...] = ()
    fallback: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)

    def resolve(self, name: str | None) -> tuple[Target, ...]:
        """List the targets for *name* in the order they are tried; there is always one.

        Raises:
            ModelNotFound: nobody claims *name*, or several do and nothing decides.
        """
        if not name:
            if self.default is None:
                raise ModelNotFound(
                    "no model was named and there is no default: name one, or set llm.provider and llm.model",
                    known=self._known(),
                )
            first = self.default
            names: Sequence[str] = (f"{first.instance}/{first.model}", first.model)
        else:
            first = self._find(name)
            names = (name,)
        targets = [first]
        for fallback_name in next((self.fallback[name] for name in names if name in self.fallback), ()):
            try:
                target = self._find(fallback_name)
            except ModelNotFound:
                # Its instance is not ready: the first target must not suffer for its spare.
                continue
            if target not in targets:
                targets.append(target)
        return tuple(targets)

    def _find(self, name: str) -> Target:
        instance, slash, model = name.partition("/")
        if slash and model and instance in self.claims:
            return Target(instance, model)
        listed = [claims for claims in self.claims.values() if name in claims.models]
        if listed:
            return Target(self._choose(name, listed).instance, name)
        if self.default is not None and name == self.default.model:
            return self.default
        best: list[Claims] = []
        longest = 0
        for claims in self.claims.values():
            length = max((len(prefix) for prefix in claims.prefixes if name.startswith(prefix)), default=0)
            if length > longest:
                best, longest = [claims], length
            elif length and length == longest:
                best.append(claims)
        if not best:
            raise ModelNotFound(
                f"model {name!r} is not known here; known: {', '.join(self._known()) or 'nothing'}", known=self._known()
            )
        return Target(self._choose(name, best).instance, name)

    def _choose(self, name: str, claims: Sequence[Claims]) -> Claims:
        if len(claims) == 1:
            return claims[0]
        by_name = {claim.instance: claim for claim in claims}
        for wanted in self.prefer:
            if wanted in by_name:
                return by_name[wanted]
        for claim in claims:
            if claim.instance == claim.plugin:
                return claim
        options = ", ".join(f"{instance}/{name}" for instance in sorted(by_name))
        raise ModelNotFound(
            f"model {name!r} is claimed by several instances: name one of {options}, or set routing.prefer",
            known=tuple(f"{instance}/{name}" for instance in sorted(by_name)),
        )

    def _known(self) -> tuple[str, ...]:
        known: list[str] = []
        for claims in self.claims.values():
            known.extend(f"{claims.instance}/{model}" for model in claims.models)
            known.extend(f"{prefix}*" for prefix in claims.prefixes)
            if not claims.models and not claims.prefixes:
                known.append(f"{claims.instance}/*")
        return tuple(known)
