"""The running whole: instances, storage, pipeline, observers and jobs, opened together and closed in order.

Programs and the server open a ``Runtime`` from a configuration and an assembly, then send calls through it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from palaver.assembly import Assembly
from palaver.clock import Clock, SystemClock
from palaver.config.schema import Config, ProviderEntry
from palaver.config.second_phase import NotConfigured, plugin_config
from palaver.contracts import CallEnded, Middleware, Observation, Observer, Outcome, PluginContext, Storage
from palaver.contracts.pipeline import CallNext
from palaver.domain import Call, ChatRequest, EmbeddingRequest, Embeddings, ServedBy
from palaver.errors import ConfigError, ModelNotFound, PalaverError, ProviderError
from palaver.ids import IdSource, RandomIds, random_id
from palaver.pipeline import Breaker, OpenedStream, PrincipalLimit, Retry, Target, chain
from palaver.pipeline.attempt import Attempt
from palaver.runtime.instances import Instance, InstanceState
from palaver.runtime.jobs import Jobs
from palaver.runtime.plan import PlannedInstance, find_spec, plan_instances, plan_routes, planned_instance
from palaver.runtime.snapshot import ListedModel, Snapshot
from palaver.upstream.connections import Connections
from palaver.upstream.interface import Deadlines

__all__ = ["Runtime"]

logger = logging.getLogger("palaver.runtime")

#: Seconds that one instance may take to open.
_OPEN_LIMIT = 15.0


class Runtime:
    """A snapshot of live instances, and everything they share. Make one with ``Runtime.open``."""

    def __init__(
        self,
        config: Config,
        assembly: Assembly,
        *,
        environment: Mapping[str, str],
        clock: Clock,
        new_id: IdSource,
        server_id: str,
    ) -> None:
        self.config = config
        self.assembly = assembly
        self.clock = clock
        self.new_id = new_id
        self.server_id = server_id
        self.jobs = Jobs()
        self.draining = False
        self.connections = Connections()
        self._environment = environment
        self._storage: Storage | None = None
        self._observers: list[Observer] = []
        self._attempt_observers: list[Observer] = []
        self._call_middlewares: list[Middleware] = []
        self._target_middlewares: list[Middleware] = []
        self._snapshot = Snapshot({}, {}, plan_routes(config, {}, {}), (), self._deadline)
        self._retiring: set[Instance] = set()
        self._changes = asyncio.Lock()

    @staticmethod
    @asynccontextmanager
    async def open(
        config: Config,
        assembly: Assembly,
        *,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        new_id: IdSource | None = None,
        storage: Storage | None = None,
        with_storage: bool = True,
        server_id: str | None = None,
    ) -> AsyncIterator["Runtime"]:
        """Open everything the configuration asks for; an instance that fails is reported, the others serve.

        Args:
            environment: Where plugins' settings are looked up; empty when not given.
            storage: An opened storage to use instead of the configured one.
            with_storage: ``False`` opens none, for programs that keep nothing.

        Raises:
            ConfigError: no storage plugin has the URL's scheme.
            StorageError: the storage could not be opened.
        """
        runtime = Runtime(
            config,
            assembly,
            environment=environment or {},
            clock=clock or SystemClock(),
            new_id=new_id or RandomIds(),
            server_id=server_id or random_id("server"),
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runtime.connections.aclose)
            if storage is not None:
                runtime._storage = storage
            elif with_storage:
                runtime._storage = await stack.enter_async_context(runtime._open_storage())
            await runtime._open_extras(stack)
            stack.push_async_callback(runtime._retire_all)
            await runtime._open_instances()
            stack.push_async_callback(runtime.jobs.drain, 0.0)
            yield runtime

    # --- calls -------------------------------------------------------------------------------------

    async def stream(self, call: Call[ChatRequest]) -> OpenedStream:
        """Pass a chat call through the pipeline; returns when the first content is in hand.

        Raises:
            PalaverError: what the provider, a limit or the routing said.
        """
        stream: OpenedStream = await self._run(call)
        return stream

    async def embed(self, call: Call[EmbeddingRequest]) -> Embeddings:
        """Pass an embedding call through the pipeline."""
        embeddings: Embeddings = await self._run(call)
        return embeddings

    async def _run(self, call: Call[Any]) -> Any:
        started = self.clock.monotonic()
        if not self._observers:
            return await self._snapshot.call(call)
        opened_at = self.connections.watch().loop.time()
        try:
            result = await self._snapshot.call(call)
        except BaseException as error:
            outcome = error.code if isinstance(error, PalaverError) else "cancelled"
            self.observe(CallEnded(call, _blamed(error), None, outcome, self.clock.monotonic() - started))
            raise
        if isinstance(result, OpenedStream):
            stream = result

            def ended(outcome: Outcome) -> None:
                error = outcome.error
                if error is not None:
                    word = error.code if isinstance(error, PalaverError) else "cancelled"
                else:
                    word = "ok" if outcome.finished is not None else "cancelled"
                first = stream.first_content_at
                self.observe(
                    CallEnded(
                        call,
                        stream.served_by,
                        stream.usage,
                        word,
                        self.clock.monotonic() - started,
                        None if first is None else first - opened_at,
                        stream.cached,
                        stream.attempts,
                    )
                )

            stream.on_close(ended)
        else:
            seconds = self.clock.monotonic() - started
            self.observe(CallEnded(call, result.served_by, result.usage, "ok", seconds))
        return result

    def _deadline(self) -> float:
        return self.clock.monotonic() + self.config.llm.timeout

    def resolve(self, model: str | None) -> Target:
        """Tell which target *model* would be tried on first.

        Raises:
            ModelNotFound: nobody claims it.
        """
        return self._snapshot.routes.resolve(model)[0]

    def models(self) -> tuple[ListedModel, ...]:
        """List the models of all ready instances."""
        return self._snapshot.models()

    def default_model(self) -> str:
        """Name the default target as ``instance/model``; empty when there is none."""
        return self._snapshot.default_model()

    @property
    def instances(self) -> Mapping[str, InstanceState]:
        """Every configured instance and what became of it."""
        return self._snapshot.states

    @property
    def storage(self) -> Storage:
        """The opened storage."""
        if self._storage is None:
            raise ConfigError("this runtime was opened without storage")
        return self._storage

    def opened(self, instance: str) -> object:
        """Give what the plugin of *instance* yielded, to list models or probe health.

        Raises:
            ModelNotFound: there is no such ready instance.
        """
        found = self._snapshot.instances.get(instance)
        if found is None:
            raise ModelNotFound(f"there is no ready instance {instance!r}", known=tuple(self._snapshot.instances))
        return found.opened

    # --- observers ---------------------------------------------------------------------------------

    def add_observer(self, observer: Observer, *, attempts: bool = True) -> None:
        """Let *observer* look on from now; one that does not care for single *attempts* saves every call a little."""
        self._observers.append(observer)
        if attempts:
            self._attempt_observers.append(observer)

    def observe(self, observation: Observation) -> None:
        """Tell every observer; one that fails is logged and the others still hear it."""
        _tell(self._observers, observation)

    def _observe_attempt(self, observation: Observation) -> None:
        _tell(self._attempt_observers, observation)

    # --- changes while running ---------------------------------------------------------------------

    async def put_instance(self, name: str, entry: ProviderEntry) -> InstanceState:
        """Add instance *name*, or replace it under open streams; the old one closes when its last lease ends.

        A new one that cannot open leaves the old one in place.
        """
        async with self._changes:
            specs = self.assembly.providers
            spec = find_spec(entry.plugin, specs)
            if spec is None:
                return InstanceState(name, entry.plugin, "failed", f"no provider {entry.plugin!r} is installed")
            instance, state = await self._open_instance(planned_instance(name, spec, entry, entry.options))
            if instance is None:
                return state
            instances = dict(self._snapshot.instances)
            old = instances.get(name)
            instances[name] = instance
            self._swap(instances, {**self._snapshot.states, name: state})
            if old is not None:
                self._retire(old)
            return state

    async def remove_instance(self, name: str) -> bool:
        """Take instance *name* out; running streams keep it until they end. Tells whether it was there."""
        async with self._changes:
            instances = dict(self._snapshot.instances)
            old = instances.pop(name, None)
            states = {key: state for key, state in self._snapshot.states.items() if key != name}
            self._swap(instances, states)
            if old is not None:
                self._retire(old)
            return old is not None

    def _retire(self, instance: Instance) -> None:
        """Let *instance* close when its streams have ended; the runtime closes it at the latest."""
        self._retiring.add(instance)

        async def wait() -> None:
            await instance.retire(self.config.server.drain)
            self._retiring.discard(instance)

        self.jobs.start(wait(), f"retire:{instance.name}")

    def _swap(self, instances: Mapping[str, Instance], states: Mapping[str, InstanceState]) -> None:
        claims = {name: instance.claims for name, instance in instances.items()}
        routes = plan_routes(self.config, claims, self.assembly.providers)
        self._snapshot = Snapshot(instances, states, routes, self._call_middlewares, self._deadline)

    # --- opening -----------------------------------------------------------------------------------

    async def _open_instances(self) -> None:
        planned, refused = plan_instances(self.config, self.assembly.providers)
        opened = await asyncio.gather(*(self._open_instance(plan) for plan in planned))
        instances = {instance.name: instance for instance, _ in opened if instance is not None}
        states = {state.name: state for state in (*refused, *(state for _, state in opened))}
        self._swap(instances, states)

    async def _open_instance(self, plan: PlannedInstance) -> tuple[Instance | None, InstanceState]:
        plugin = plan.spec.name
        instance = Instance(plan.name, plan.spec, plan.claims, self._build_target)
        try:
            config = plugin_config(
                plan.spec.config, plan.options, self._environment, path=plan.path, origins=self.config.origins
            )
            await instance.open(config, self._context(plan.name), limit=_OPEN_LIMIT)
        except NotConfigured as error:
            return None, InstanceState(plan.name, plugin, "not_configured", str(error), plan.claims)
        except PalaverError as error:
            return None, InstanceState(plan.name, plugin, "failed", str(error), plan.claims)
        except Exception as error:
            logger.error("instance %s did not open", plan.name, exc_info=error)
            reason = f"{type(error).__name__} while opening; the log has the traceback"
            return None, InstanceState(plan.name, plugin, "failed", reason, plan.claims)
        return instance, InstanceState(plan.name, plugin, "ready", "", plan.claims)

    def _build_target(self, opened: object, served_by: ServedBy) -> CallNext:
        resilience = self.config.resilience
        observe = self._observe_attempt if self._attempt_observers else None
        middlewares: list[Middleware] = []
        if resilience.attempts > 1:
            middlewares.append(
                Retry(
                    self.clock,
                    attempts=resilience.attempts,
                    backoff=resilience.backoff,
                    backoff_max=resilience.backoff_max,
                )
            )
        if resilience.breaker_failures > 0:
            middlewares.append(
                Breaker(
                    self.clock,
                    failures=resilience.breaker_failures,
                    window=resilience.breaker_window,
                    cooldown=resilience.breaker_cooldown,
                )
            )
        middlewares.extend(self._target_middlewares)
        return chain(
            middlewares, Attempt(opened, served_by, self._deadlines(), self.clock, observe, self.connections.watch())
        )

    def _deadlines(self) -> Deadlines:
        llm = self.config.llm
        return Deadlines(llm.connect_timeout, llm.first_byte_timeout, llm.idle_timeout, llm.timeout)

    def _context(self, name: str) -> PluginContext:
        return PluginContext(
            name,
            self.connections.open_upstream,
            clock=self.clock,
            new_id=self.new_id,
            deadlines=self._deadlines(),
            warn=logging.getLogger(f"palaver.instance.{name}").warning,
        )

    @asynccontextmanager
    async def _open_storage(self) -> AsyncIterator[Storage]:
        url = self.config.storage.url
        scheme = url.reveal().partition(":")[0].partition("+")[0]
        spec = next((spec for spec in self.assembly.storages.values() if scheme in spec.schemes), None)
        if spec is None:
            known = ", ".join(sorted(scheme for spec in self.assembly.storages.values() for scheme in spec.schemes))
            raise ConfigError(f"storage.url: no installed storage has the scheme {scheme!r}; known: {known or 'none'}")
        options = {"url": url, **self.config.storage.options}
        config = plugin_config(
            spec.config, options, self._environment, path="storage.options", origins=self.config.origins
        )
        async with spec.open(config, self._context(f"storage:{spec.name}")) as storage:
            yield storage

    async def _open_extras(self, stack: AsyncExitStack) -> None:
        """Open observers and the configured middlewares; their failure stops the start, for they guard."""
        for name, observer_spec in self.assembly.observers.items():
            raw = self.config.observers.get(name, {})
            try:
                path = f"observers.{name}"
                config = plugin_config(
                    observer_spec.config, raw, self._environment, path=path, origins=self.config.origins
                )
            except NotConfigured:
                continue
            self.add_observer(await stack.enter_async_context(observer_spec.open(config, self._context(name))))
        if self.config.resilience.principal_requests_per_minute > 0:
            limit = PrincipalLimit(self.clock, per_minute=self.config.resilience.principal_requests_per_minute)
            self._call_middlewares.append(limit)
        outermost: list[Middleware] = []
        for index, item in enumerate(self.config.middlewares):
            name, raw = _named(item, f"middlewares[{index}]")
            spec = self.assembly.middlewares.get(name)
            if spec is None:
                known = ", ".join(sorted(self.assembly.middlewares)) or "none"
                raise ConfigError(f"middlewares[{index}]: no middleware {name!r} is installed; installed: {known}")
            path = f"middlewares[{index}]"
            config = plugin_config(spec.config, raw, self._environment, path=path, origins=self.config.origins)
            middleware = await stack.enter_async_context(spec.open(config, self._context(name)))
            (outermost if spec.place == "call" else self._target_middlewares).append(middleware)
        self._call_middlewares[:0] = outermost

    async def _retire_all(self) -> None:
        instances = {*self._snapshot.instances.values(), *self._retiring}
        await asyncio.gather(*(instance.retire(0.0) for instance in instances))


def _blamed(error: BaseException) -> ServedBy | None:
    """Tell which target a call failed on, the last one it was tried on; ``None`` when it reached none."""
    return ServedBy(error.provider, error.model) if isinstance(error, ProviderError) and error.provider else None


def _tell(observers: Sequence[Observer], observation: Observation) -> None:
    for observer in observers:
        try:
            observer.observe(observation)
        except Exception:
            logger.exception("observer %s failed", type(observer).__qualname__)


def _named(item: Any, path: str) -> tuple[str, Mapping[str, Any]]:
    """Read ``name`` or ``{name: options}``."""
    if isinstance(item, str):
        return item, {}
    if isinstance(item, Mapping) and len(item) == 1:
        name, raw = next(iter(item.items()))
        return str(name), raw or {}
    raise ConfigError(f"{path}: expected a name or one name with its options, got {item!r}")
