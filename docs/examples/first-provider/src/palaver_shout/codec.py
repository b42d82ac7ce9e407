"""Between Palaver's words and Shout's. Pure: no network here."""

from palaver import FinishReason, ResponseFinished, TextDelta, UpstreamMalformed, Usage, UsageReported

REASONS = {"end": FinishReason.STOP, "breath": FinishReason.LENGTH}


def encode(request):
    """Write a request the way Shout reads it."""
    messages = [{"role": message.role, "text": message.text} for message in request.messages]
    return {"model": request.model, "messages": messages, "stream": request.streaming}


def decode(said):
    """Read one line of a stream, or a whole answer: Shout gives both the same fields."""
    if not isinstance(said, dict):
        raise UpstreamMalformed(f"shout: expected an object, got {type(said).__name__}")
    if text := said.get("text"):
        yield TextDelta(str(text))
    if tokens := said.get("tokens"):
        yield UsageReported(Usage(tokens.get("heard"), tokens.get("shouted")))
    if reason := said.get("reason"):
        yield ResponseFinished(REASONS.get(reason, FinishReason.UNKNOWN), raw=reason)
