"""The rules have teeth: a provider that breaks one is caught by it, and a good one passes them all."""

import asyncio
import json
from contextlib import asynccontextmanager

import attrs
import pytest
from palaver import (
    AnswerKind,
    Embeddings,
    FinishReason,
    ModelInfo,
    PartAdded,
    ProviderSpec,
    RateLimited,
    ReasoningDelta,
    ResponseFinished,
    ResponseStarted,
    Secret,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamMalformed,
    Usage,
    UsageReported,
    setting,
)
from palaver.testing import ProviderConformance, Scenario, conformance_asserts, conformance_streams, fake_context
from palaver.testing.conformance import RULES, run_rule

# --- a vendor of lines, and a good provider for it -------------------------------------------------------------------

TEXT = [{"text": "hello "}, {"text": "to "}, {"text": "you"}, {"usage": [3, 4]}, {"end": "stop"}]
REASONING = [{"think": "hm "}, {"think": "so"}, *TEXT]
TOOLS = [
    {"call": [0, "c0", "get_weather"]},
    {"args": [0, '{"city": ']},
    {"call": [1, "c1", "get_weather"]},
    {"args": [1, '{"city": "Rome"}']},
    {"args": [0, '"Paris"}']},
    {"end": "tool_calls"},
]
NO_USAGE = [{"text": "hello"}, {"end": "stop"}]
WORDS = {"text": "hello to you", "finish": "stop"}


@pytest.fixture(scope="session")
def wire(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    for name, lines in {"text": TEXT, "reasoning": REASONING, "tools": TOOLS, "no-usage": NO_USAGE}.items():
        expected = WORDS if name == "text" else {}
        whole = {"status": 200, "stream": None, "body": {"lines": lines}}
        text = "".join(json.dumps(line) + "\n" for line in lines)
        streamed = {"status": 200, "stream": "ndjson", "body_text": text}
        (folder / f"{name}.json").write_text(json.dumps({"response": whole, "expected": expected}))
        (folder / f"{name}-stream.json").write_text(json.dumps({"response": streamed, "expected": expected}))
    models = {"models": ["small", "large"]}
    vectors = {"vectors": [[1.0, 0.0], [0.0, 1.0]]}
    for name, body in {"models": models, "embeddings": vectors}.items():
        (folder / f"{name}.json").write_text(json.dumps({"response": {"status": 200, "body": body}}))
    busy = {"response": {"status": 429, "body": {"error": "busy"}}, "expected": {"error": "RateLimited"}}
    (folder / "error-429.json").write_text(json.dumps(busy))
    return folder


@attrs.frozen
class LinesConfig:
    api_key: Secret = setting(env="LINES_API_KEY", help="the key")
    base_url: str = setting(default="http://127.0.0.1:1", env="LINES_BASE_URL", help="where lines are")


class Good:
    """Keeps every rule; wrong ones inherit and spoil one thing."""

    failures = None

    def __init__(self, upstream, config):
        self.upstream = upstream
        self.config = config

    async def stream(self, request):
        async with self.post(request) as answer:
            async for frames in answer:
                batch = self.read_frames(frames, request)
                yield batch
                if any(isinstance(event, ResponseFinished) for event in batch):
                    return
        for event in self.at_the_end():
            yield event

    def post(self, request):
        accept = AnswerKind.NDJSON if request.streaming else AnswerKind.JSON
        return self.upstream.post("/chat", json={"stream": request.streaming}, accept=accept)

    def read_frames(self, frames, request):
        said = [self.decode(frame) for frame in frames]
        lines = [line for item in said for line in item.get("lines", [item])]
        return [event for line in lines for event in self.read(line, request)]

    def decode(self, frame):
        said = frame.json()
        if not isinstance(said, dict):
            raise UpstreamMalformed("lines: expected an object")
        return said

    def at_the_end(self):
        raise UpstreamInterrupted("lines: the answer ended in the middle")

    async def ask(self, field):
        said = await self.upstream.get("/" + field)
        if not isinstance(said, dict) or field not in said:
            raise UpstreamMalformed(f"lines: expected {field}")
        return said[field]

    async def check(self):
        await self.upstream.get("/models")

    async def list_models(self):
        return tuple(ModelInfo(name) for name in await self.ask("models"))

    async def embed(self, request):
        return Embeddings(tuple(tuple(vector) for vector in await self.ask("vectors")))

    def read(self, line, request):
        match line:
            case {"text": text}:
                return [TextDelta(text)]
            case {"think": text}:
                return [ReasoningDelta(text)]
            case {"call": [index, call_id, name]}:
                return [ToolCallStarted(index, call_id, name)]
            case {"args": [index, text]}:
                return [ToolCallDelta(index, text)]
            case {"usage": [heard, said]}:
                return [UsageReported(Usage(heard, said))]
            case {"end": reason}:
                return [ResponseFinished(FinishReason(reason), raw=reason)]
        return []


def spec_of(provider, **changes):
    @asynccontextmanager
    async def open_lines(config, context):
        key = config.api_key
        headers = {"Authorization": f"Bearer {key.reveal() if isinstance(key, Secret) else key}"}
        async with context.upstream(config.base_url, headers=headers, failures=provider.failures) as upstream:
            yield provider(upstream, config)

    return ProviderSpec(**{"name": "lines", "config": LinesConfig, "open": open_lines, **changes})


def suite_of(provider, folder, *, skipped=None, **changes):
    class TestLines(ProviderConformance):
        spec = spec_of(provider, **changes)
        wire = folder
        skips = skipped or {}

        def config(self, vendor):
            return self.spec.config(base_url=vendor.url, api_key=vendor.key)

    return TestLines()


@pytest.mark.parametrize("rule", RULES)
def test_a_good_provider_keeps_every_rule(rule, wire):
    run_rule(rule, suite_of(Good, wire))


# --- one wrong provider per way to break a rule ----------------------------------------------------------------------


class UnknownFinish(Good):
    def read(self, line, request):
        return [ResponseFinished(FinishReason.UNKNOWN, raw="done")] if "end" in line else super().read(line, request)


class Mute(Good):
    def read(self, line, request):
        return [] if "text" in line else super().read(line, request)


class Mumbling(Good):
    def read(self, line, request):
        return [TextDelta(line["text"].strip())] if "text" in line else super().read(line, request)


class WholePartsOnly(Good):
    def read(self, line, request):
        return [PartAdded(TextPart(line["text"]))] if "text" in line else super().read(line, request)


class EndsByItself(Good):
    def at_the_end(self):
        return [ResponseFinished(FinishReason.STOP)]


class EndsQuietly(Good):
    def at_the_end(self):
        return []


class DifferentWhenWhole(Good):
    def read(self, line, request):
        events = super().read(line, request)
        return events if request.streaming or "text" not in line else [*events, TextDelta("!")]


class OnlyWhatWasAskedFor(Good):
    def decode(self, frame):
        said = super().decode(frame)
        return said if "lines" not in said else {"lines": []}


class SameIds(Good):
    def read(self, line, request):
        if "call" in line:
            return [ToolCallStarted(line["call"][0], "call", line["call"][2])]
        return super().read(line, request)


class NoIds(Good):
    def read(self, line, request):
        return [ToolCallStarted(line["call"][0], "", "x")] if "call" in line else super().read(line, request)


class MixedArguments(Good):
    def read(self, line, request):
        return [ToolCallDelta(0, line["args"][1])] if "args" in line else super().read(line, request)


class StartsAgain(Good):
    def read(self, line, request):
        events = super().read(line, request)
        return [ToolCallStarted(line["args"][0], "c", "x"), *events] if "args" in line else events


class ArgumentsFirst(Good):
    def read(self, line, request):
        events = super().read(line, request)
        return [ToolCallDelta(line["call"][0], ""), *events] if "call" in line else events


class StopsForTools(Good):
    def read(self, line, request):
        return [ResponseFinished(FinishReason.STOP)] if "end" in line else super().read(line, request)


class NoUsage(Good):
    def read(self, line, request):
        return [] if "usage" in line else super().read(line, request)


class UsageInWords(Good):
    def read(self, line, request):
        return [UsageReported(Usage("3", "4"))] if "usage" in line else super().read(line, request)


class UsageGuessed(Good):
    def read(self, line, request):
        return [UsageReported(Usage(3, 4, estimated=True))] if "usage" in line else super().read(line, request)


class ZeroUsage(Good):
    def read(self, line, request):
        events = super().read(line, request)
        return [UsageReported(Usage(0, 0)), *events] if "end" in line else events


class AllIsRateLimited(Good):
    @staticmethod
    def failures(failure):
        return RateLimited("slow down", upstream_status=failure.status)


class AllIsFailed(Good):
    @staticmethod
    def failures(failure):
        return UpstreamFailed("it failed", upstream_status=failure.status)


class ForgetsTheStatus(Good):
    async def stream(self, request):
        try:
            async for batch in super().stream(request):
                yield batch
        except Exception as error:
            error.upstream_status = None
            raise


class SpeaksBeforeItFails(Good):
    async def stream(self, request):
        yield [TextDelta("one moment")]
        async for batch in super().stream(request):
            yield batch


class ErrorsAsText(Good):
    async def stream(self, request):
        try:
            async for batch in super().stream(request):
                yield batch
        except UpstreamInterrupted:
            raise
        except Exception as error:
            yield [TextDelta(f"sorry: {error}"), ResponseFinished(FinishReason.STOP)]


class Strings(Good):
    async def stream(self, request):
        async for batch in super().stream(request):
            yield [getattr(event, "text", event) for event in batch]


class Iterators(Good):
    async def stream(self, request):
        async for batch in super().stream(request):
            yield iter(batch)


class EndsTwice(Good):
    def read(self, line, request):
        return super().read(line, request) * (2 if "end" in line else 1)


class SpeaksAfterTheEnd(Good):
    def read(self, line, request):
        events = super().read(line, request)
        return [*events, ResponseStarted("late")] if "end" in line else events


class Coroutine(Good):
    async def stream(self, request):
        return [[TextDelta("hello"), ResponseFinished(FinishReason.STOP)]]


class Iterator(Good):
    def stream(self, request):
        generator = super().stream(request)

        class Batches:
            def __aiter__(self):
                return self

            async def __anext__(self):
                return await anext(generator)

        return Batches()


class ReadsOn(Good):
    async def stream(self, request):
        async with self.post(request) as answer:
            async for frames in answer:
                yield self.read_frames(frames, request)


class SharesState(Good):
    async def stream(self, request):
        self.text = ""
        async with self.post(request) as answer:
            async for frames in answer:
                for event in self.read_frames(frames, request):
                    if isinstance(event, TextDelta):
                        self.text += event.text
                        yield []
                    else:
                        yield [TextDelta(self.text), event] if isinstance(event, UsageReported) else event


class HoldsBack(Good):
    async def stream(self, request):
        for batch in [batch async for batch in super().stream(request)]:
            yield batch


class LosesWhatCame(Good):
    async def stream(self, request):
        batches = [batch async for batch in super().stream(request)]
        for batch in batches:
            yield batch


class ReadsInTheBackground(Good):
    async def stream(self, request):
        queue = asyncio.Queue()

        async def read():
            async for batch in super(ReadsInTheBackground, self).stream(request):
                queue.put_nowait(batch)

        task = asyncio.get_running_loop().create_task(read())
        while not task.done() or not queue.empty():
            yield await queue.get()


class LeavesATask(Good):
    async def stream(self, request):
        # The loop knows tasks only weakly; somebody has to hold this one.
        self.left = asyncio.get_running_loop().create_task(asyncio.sleep(5))
        async for batch in super().stream(request):
            yield batch


class SwallowsCancellation(Good):
    async def stream(self, request):
        try:
            async for batch in super().stream(request):
                yield batch
        except asyncio.CancelledError:
            yield [ResponseFinished(FinishReason.STOP)]


class LetsErrorsOut(Good):
    def decode(self, frame):
        return json.loads(frame.data)


class TakesNothingForAnAnswer(Good):
    def decode(self, frame):
        return super().decode(frame) or {"end": "stop"}


class SplitsBytes(Good):
    """Reads the bytes itself and takes each read for whole lines."""

    @asynccontextmanager
    async def post(self, request):
        host, port = self.config.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")

        async def frames():
            await reader.readuntil(b"\r\n\r\n")
            while size := int(await reader.readuntil(b"\r\n"), 16):
                chunk = (await reader.readexactly(size + 2))[:-2]
                yield chunk.splitlines()

        try:
            yield frames()
        finally:
            writer.close()
            await writer.wait_closed()

    def decode(self, frame):
        try:
            said = json.loads(frame)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    def at_the_end(self):
        return [ResponseFinished(FinishReason.STOP)]


class AlwaysWell(Good):
    async def check(self):
        pass


class CheckRaisesAnything(Good):
    async def check(self):
        raise ValueError("not well")


class ListsTwice(Good):
    async def list_models(self):
        return (await super().list_models()) * 2


class ListsNames(Good):
    async def list_models(self):
        return tuple(await self.ask("models"))


class ListsWhatItWasBorn(Good):
    async def list_models(self):
        try:
            return await super().list_models()
        except UpstreamMalformed:
            return (ModelInfo("small"),)


class ListsCarelessly(Good):
    async def list_models(self):
        return tuple(ModelInfo(name) for name in (await self.upstream.get("/models"))["models"])


class EmbedsOne(Good):
    async def embed(self, request):
        return Embeddings((await super().embed(request)).vectors[:1])


class EmbedsUnevenly(Good):
    async def embed(self, request):
        first, second = (await super().embed(request)).vectors
        return Embeddings((first, second[:1]))


class EmbedsWholeNumbers(Good):
    async def embed(self, request):
        return Embeddings(tuple(tuple(map(int, vector)) for vector in (await super().embed(request)).vectors))


class TellsTheKey(Good):
    async def stream(self, request):
        try:
            async for batch in super().stream(request):
                yield batch
        except Exception as error:
            raise UpstreamFailed(f"{self.config.api_key.reveal()} did not work") from error


class ChainsTheKey(Good):
    async def stream(self, request):
        try:
            async for batch in super().stream(request):
                yield batch
        except Exception:
            raise UpstreamFailed("it did not work") from ValueError(self.config.api_key.reveal())


class ShowsTheKey(Good):
    def __repr__(self):
        return f"ShowsTheKey({self.config.api_key.reveal()})"


class FirstAccountOnly(Good):
    accounts = []

    def __init__(self, upstream, config):
        super().__init__(upstream, config)
        self.accounts.append(upstream)
        self.upstream = self.accounts[0]


class OneObject(Good):
    only = []

    def __new__(cls, upstream, config):
        if not cls.only:
            cls.only.append(super().__new__(cls))
        return cls.only[0]


@pytest.mark.parametrize(
    ("rule", "wrong", "words"),
    [
        ("text", Mute, "the answer has no text"),
        ("text", UnknownFinish, "the vendor's word 'done' is not known"),
        ("text", Mumbling, "text: expected 'hello to you', got 'hellotoyou'"),
        ("stream", WholePartsOnly, "no TextDelta among"),
        ("stream", UnknownFinish, "is not known"),
        ("whole_is_folded_stream", DifferentWhenWhole, "text: the "),
        ("whole_is_folded_stream", OnlyWhatWasAskedFor, "the answer ended in the middle"),
        ("parallel_tools", SameIds, "calls share an id"),
        ("parallel_tools", NoIds, "a call has no id"),
        ("parallel_tools", MixedArguments, "arguments of get_weather are not JSON"),
        ("parallel_tools", StartsAgain, "was started twice"),
        ("parallel_tools", ArgumentsFirst, "which was not started"),
        ("parallel_tools", StopsForTools, "finish reason is <FinishReason.STOP"),
        ("usage", NoUsage, "no UsageReported (whole)"),
        ("usage", UsageInWords, "usage.input_tokens is '3'"),
        ("usage", UsageGuessed, "is not an estimate"),
        ("unknown_usage", ZeroUsage, "but usage.input_tokens is 0"),
        ("expectations", AllIsFailed, "error-429: expected RateLimited, got UpstreamFailed"),
        ("expectations", ErrorsAsText, "error-429: expected RateLimited, got an answer"),
        ("expectations", Mumbling, "text: text: expected 'hello to you'"),
        ("batches", Strings, "which is no StreamEvent"),
        ("batches", Iterators, "yielded list_iterator: expected an event or a sequence of events"),
        ("batches", EndsTwice, "expected ResponseFinished once and last"),
        ("batches", SpeaksAfterTheEnd, "expected ResponseFinished once and last"),
        ("batches", Coroutine, "stream() gives coroutine, not an async generator"),
        ("batches", Iterator, "stream() gives Batches, not an async generator"),
        ("terminal_marker", EndsByItself, "a cut stream was finished (cut after"),
        ("terminal_marker", EndsQuietly, "a cut stream ended with None"),
        ("terminal_marker", LosesWhatCame, "what came before the cut was lost"),
        ("stops_at_the_end", ReadsOn, "the answer is there, but the provider goes on reading"),
        ("concurrent_requests", SharesState, "two answers at once were mixed up"),
        ("cancel", HoldsBack, "content was held back until the end of the answer"),
        ("cancel", ReadsInTheBackground, "the connection to the vendor is still open 0.2 s after closing"),
        ("cancel", LeavesATask, "tasks are left 0.2 s after closing"),
        ("cancel", SwallowsCancellation, "the stream swallowed a cancellation"),
        ("byte_splits", SplitsBytes, "text: sent byte by byte it is"),
        ("errors", AllIsRateLimited, "400 (whole): expected ProviderRejected, got RateLimited"),
        ("errors", AllIsFailed, "400 (whole): expected ProviderRejected, got UpstreamFailed"),
        ("errors", ForgetsTheStatus, "upstream_status is None"),
        ("errors", SpeaksBeforeItFails, "400 (whole): content came: ['TextDelta']"),
        ("errors", ErrorsAsText, "400 (whole): content came"),
        ("only_palaver_errors", LetsErrorsOut, "left the provider"),
        ("only_palaver_errors", TakesNothingForAnAnswer, "an empty JSON object (whole): taken for a finished answer"),
        ("only_palaver_errors", EndsQuietly, "the stream ended without an error"),
        ("secrets", TellsTheKey, "the error for a 400 shows the key"),
        ("secrets", ChainsTheKey, "the error for a 400 shows the key"),
        ("secrets", ShowsTheKey, "repr(provider) shows the key"),
        ("opens_twice", FirstAccountOnly, "requests went to the wrong account"),
        ("opens_twice", OneObject, "open() gave the same object twice"),
        ("health", AlwaysWell, "a wrong key: expected ProviderAuthFailed, got None"),
        ("health", CheckRaisesAnything, "not well"),
        ("models", ListsTwice, "a model is listed twice"),
        ("models", ListsNames, "'small' is not a ModelInfo"),
        ("models", ListsWhatItWasBorn, "taken for an answer"),
        ("models", ListsCarelessly, "left the provider"),
        ("embeddings", EmbedsOne, "expected two vectors for two inputs, got 1"),
        ("embeddings", EmbedsUnevenly, "vectors of different lengths: [2, 1]"),
        ("embeddings", EmbedsWholeNumbers, "a vector holds something else than floats"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine 'Coroutine.stream' was never awaited")
def test_a_wrong_provider_is_caught(rule, wrong, words, wire, monkeypatch):
    for module in (conformance_asserts, conformance_streams):
        monkeypatch.setattr(module, "PROMPT", 0.2)
    # What a rule does not expect at all comes out as it is, with its traceback.
    with pytest.raises((AssertionError, UpstreamInterrupted, ValueError)) as caught:
        run_rule(rule, suite_of(wrong, wire))
    assert words in str(caught.value)


# --- wrong specifications --------------------------------------------------------------------------------------------


@attrs.define
class Changeable:
    api_key: Secret = setting(env="LINES_API_KEY", help="the key")
    base_url: str = setting(default="", help="where")


@attrs.frozen
class Undeclared:
    api_key: Secret = setting(env="LINES_API_KEY", help="the key")
    base_url: str = ""


@attrs.frozen
class Nameless:
    api_key: Secret = setting(help="the key")
    base_url: str = setting(default="", help="where")


@attrs.frozen
class Helpless:
    api_key: Secret = setting(env="LINES_API_KEY")
    base_url: str = setting(default="", help="where")


@attrs.frozen
class OddVariable:
    api_key: Secret = setting(env="lines-api-key", help="the key")
    base_url: str = setting(default="", help="where")


class NoAttrs:
    pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Two Words"}, "name 'Two Words': use lower case letters"),
        ({"aliases": ("Lines",)}, "name 'Lines': use lower case letters"),
        ({"model_prefixes": ("",)}, "an empty model prefix would claim every model"),
        ({"catalog": (ModelInfo("a"), ModelInfo("a"))}, "the catalog lists a model twice"),
        ({"catalog": ("a",)}, "the catalog holds what is not a ModelInfo"),
        ({"config": Changeable}, "Changeable can be changed: use attrs.frozen"),
        ({"config": Undeclared}, "Undeclared.base_url: declare it with setting()"),
        ({"config": Nameless}, "Nameless.api_key: name the variables that fill it"),
        ({"config": Helpless}, "Helpless.api_key: say in setting(help=...) what it is"),
        ({"config": OddVariable}, "'lines-api-key' is no environment variable"),
        ({"config": NoAttrs}, "NoAttrs is not an attrs class"),
    ],
)
def test_a_wrong_specification_is_caught(changes, words, wire):
    with pytest.raises(AssertionError) as caught:
        run_rule("config", suite_of(Good, wire, **changes))
    assert words in str(caught.value)


@attrs.frozen
class BareKey:
    api_key: str = setting(env="LINES_API_KEY", help="the key")
    base_url: str = setting(default="", env="LINES_BASE_URL", help="where")


def test_a_key_that_is_no_secret_is_caught(wire):
    class Revealing(suite_of(Good, wire, config=BareKey).__class__):
        def config(self, vendor):
            return BareKey(base_url=vendor.url, api_key=vendor.key.reveal())

    with pytest.raises(AssertionError, match="annotate its field with Secret"):
        run_rule("secrets", Revealing())


# --- skipping and missing --------------------------------------------------------------------------------------------


def test_a_rule_is_skipped_for_a_reason(wire):
    with pytest.raises(pytest.skip.Exception, match="the vendor counts nothing"):
        run_rule("usage", suite_of(NoUsage, wire, skipped={"usage": "the vendor counts nothing"}))


@pytest.mark.parametrize(
    ("skipped", "words"),
    [
        ({"usage": ""}, "skips['usage']: write down the reason"),
        ({"usage": "  "}, "skips['usage']: write down the reason"),
        ({"usages": "typing is hard"}, "skips: unknown rule 'usages'; known: config, text"),
    ],
)
def test_a_rule_is_not_skipped_without_a_reason(skipped, words, wire):
    with pytest.raises(AssertionError) as caught:
        run_rule("usage", suite_of(NoUsage, wire, skipped=skipped))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "file"),
    [
        ("text", "text.json"),
        ("stream", "text-stream.json"),
        ("whole_is_folded_stream", "text.json"),
        ("parallel_tools", "tools-stream.json"),
        ("usage", "text-stream.json"),
        ("unknown_usage", "no-usage-stream.json"),
        ("terminal_marker", "text-stream.json"),
        ("cancel", "text-stream.json"),
        ("byte_splits", "text-stream.json"),
        ("opens_twice", "text-stream.json"),
        ("models", "models.json"),
        ("embeddings", "embeddings.json"),
    ],
)
def test_a_missing_exchange_is_told_with_the_way_out(rule, file, tmp_path):
    with pytest.raises(AssertionError) as caught:
        run_rule(rule, suite_of(Good, tmp_path))
    assert f"{file} is not in {tmp_path.name}/: record it, or write in `skips`" in str(caught.value)


# --- providers without a wire ----------------------------------------------------------------------------------------


def local(scenarios, provider=None):
    """A suite without a wire; *scenarios* maps the names it knows to the events of the answer."""

    @attrs.frozen
    class LocalConfig:
        words: tuple = setting(factory=tuple, help="what to say")

    class Local:
        def __init__(self, config):
            self.words = config.words

        async def stream(self, request):
            for event in self.words:
                if isinstance(event, Exception):
                    raise event
                yield event

    @asynccontextmanager
    async def open_local(config, context):
        yield (provider or Local)(config)

    class TestLocal(ProviderConformance):
        spec = ProviderSpec("local", config=LocalConfig, open=open_local)

        def scenario(self, name):
            return Scenario(LocalConfig(words=scenarios[name]), self.request(name)) if name in scenarios else None

    return TestLocal()


FINE = (TextDelta("hi"), UsageReported(Usage(1, 1)), ResponseFinished(FinishReason.STOP))


@pytest.mark.parametrize(
    ("rule", "scenarios", "words"),
    [
        ("text", {}, "scenario('text') gives None: return a Scenario for it"),
        ("text", {"text": FINE[:2]}, "the stream ended without ResponseFinished and without an error"),
        ("terminal_marker", {"cut": FINE}, "a cut stream was finished"),
        ("terminal_marker", {}, "scenario('cut') gives None"),
        ("cancel", {"stall": ()}, "the stream ended without content"),
        ("cancel", {}, "scenario('stall') gives None"),
        ("errors", {}, "scenario('error-429') gives None"),
        ("errors", {"error-500": (ValueError("oh"),)}, "500 (whole): expected UpstreamFailed or Overloaded"),
        ("only_palaver_errors", {"malformed": (ValueError("oh"),)}, "malformed: ValueError left the provider: oh"),
        ("unknown_usage", {"no-usage": (TextDelta("a"), UsageReported(Usage(0)), FINE[2])}, "usage.input_tokens is 0"),
    ],
)
def test_a_wrong_provider_without_a_wire_is_caught(rule, scenarios, words):
    with pytest.raises(AssertionError) as caught:
        run_rule(rule, local(scenarios))
    assert words in str(caught.value)


def test_rules_about_bytes_do_not_apply_without_a_wire():
    with pytest.raises(pytest.skip.Exception, match="there are no bytes to split"):
        run_rule("byte_splits", local({"text": FINE}))


@pytest.mark.parametrize("rule", ["health", "models", "embeddings"])
def test_what_a_provider_is_not_is_not_asked_of_it(rule):
    with pytest.raises(pytest.skip.Exception, match="the provider is no "):
        run_rule(rule, local({"text": FINE}))


def test_every_rule_says_in_one_line_what_it_wants():
    assert [] == [name for name, rule in RULES.items() if not (rule.__doc__ or "").strip().endswith(".")]


def test_a_context_without_network_says_so():
    with pytest.raises(AssertionError, match="this test has no network"):
        fake_context().upstream("http://127.0.0.1:1")
