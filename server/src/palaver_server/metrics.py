"""Metrics for Prometheus: requests, calls to models, tokens, time to first token, open streams, plugins.

Labels hold templates and configured names only, never users, keys or paths. Counting is adding to plain
numbers, for every request pays it; they take Prometheus' shape when somebody asks.
https://prometheus.io/docs/practices/naming/
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from palaver.contracts import CallEnded, Observation

if TYPE_CHECKING:
    from palaver.runtime import Runtime

    from palaver_server.presence import Presence

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: Callers choose model names; beyond this many the rest is counted together.
_MODELS = 300


class _Durations:
    """How many took how long: a count per bucket, the last without bound, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        so_far = 0
        found = []
        for bound, count in zip((*_SECONDS, float("inf")), self.counts, strict=True):
            so_far += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), float(so_far)))
        return found


class Metrics:
    """The numbers of one server; an observer of the pipeline."""

    def __init__(self, runtime: "Runtime", presence: "Presence") -> None:
        self._runtime = runtime
        self._presence = presence
        self._requests: dict[tuple[str, str, int], _Durations] = defaultdict(_Durations)
        self._calls: dict[tuple[str, str, str], int] = defaultdict(int)
        self._attempts: dict[str, int] = defaultdict(int)
        self._first: dict[str, _Durations] = defaultdict(_Durations)
        self._tokens: dict[str, int] = defaultdict(int)
        self._models: set[str] = set()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests[route, method, status].add(seconds)

    def observe(self, observation: Observation) -> None:
        """Count a call to a model when it is over."""
        if not isinstance(observation, CallEnded):
            return
        served_by = observation.served_by
        if served_by is None:
            self._calls["", "", observation.outcome] += 1
            return
        provider = served_by.instance
        self._calls[provider, self._model(served_by.model), observation.outcome] += 1
        self._attempts[provider] += observation.attempts
        if observation.first_content_seconds is not None:
            self._first[provider].add(observation.first_content_seconds)
        usage = observation.usage
        if usage is not None:
            tokens = self._tokens
            tokens["input"] += usage.input_tokens or 0
            tokens["output"] += usage.output_tokens or 0
            tokens["cache_read"] += usage.cache_read_tokens or 0
            tokens["cache_write"] += usage.cache_write_tokens or 0
            tokens["reasoning"] += usage.reasoning_tokens or 0

    def _model(self, name: str) -> str:
        if name not in self._models:
            if len(self._models) >= _MODELS:
                return "other"
            self._models.add(name)
        return name

    def render(self) -> bytes:
        """Give the text that Prometheus reads."""
        from prometheus_client import CollectorRegistry, generate_latest  # only those who ask pay for it

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Any]:
        """Give everything in the shapes of the Prometheus client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Duration of HTTP requests, streams to their end.",
            labels=("route", "method", "status"),
        )
        for (route, method, status), durations in self._requests.items():
            requests.add_metric((route, method, str(status)), durations.buckets(), durations.sum)
        yield requests
        calls = CounterMetricFamily(
            "palaver_llm_requests",
            "Calls to models by how they ended.",
            labels=("provider", "model", "outcome"),
        )
        for labels, number in self._calls.items():
            calls.add_metric(labels, number)
        yield calls
        attempts = CounterMetricFamily(
            "palaver_llm_attempts", "Times a provider was asked, retries included.", labels=("provider",)
        )
        for provider, number in self._attempts.items():
            attempts.add_metric((provider,), number)
        yield attempts
        tokens = CounterMetricFamily("palaver_tokens", "Tokens as vendors count them.", labels=("type",))
        for kind, number in self._tokens.items():
            tokens.add_metric((kind,), number)
        yield tokens
        first = HistogramMetricFamily(
            "palaver_time_to_first_token_seconds", "Time until a model's first content.", labels=("provider",)
        )
        for provider, durations in self._first.items():
            first.add_metric((provider,), durations.buckets(), durations.sum)
        yield first
        streams = GaugeMetricFamily("palaver_active_streams", "Answers that are open now.")
        streams.add_metric((), len(self._presence))
        yield streams
        up = GaugeMetricFamily("palaver_plugin_up", "Whether a plugin was loaded.", labels=("plugin",))
        for plugin in self._runtime.assembly.plugins:
            up.add_metric((plugin.name,), plugin.state.value == "loaded")
        yield up
        ready = GaugeMetricFamily(
            "palaver_instance_ready", "Whether a provider instance is ready.", labels=("instance",)
        )
        for name, state in self._runtime.instances.items():
            ready.add_metric((name,), state.state == "ready")
        yield ready
