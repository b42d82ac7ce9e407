"""Shout, https://shout.example: one endpoint, which answers whole or as lines of JSON."""

from contextlib import asynccontextmanager

import attrs
from palaver import AnswerKind, ModelInfo, ProviderSpec, ResponseFinished, Upstream, UpstreamInterrupted

from palaver_shout.codec import decode, encode
from palaver_shout.config import ShoutConfig


@attrs.frozen
class ShoutProvider:
    """Answers chat requests."""

    _upstream: Upstream

    async def stream(self, request):
        """Answer with one batch of events per read from the network."""
        accept = AnswerKind.NDJSON if request.streaming else AnswerKind.JSON
        async with self._upstream.post("/v1/shout", json=encode(request), accept=accept) as answer:
            async for frames in answer:
                batch = [event for frame in frames for event in decode(frame.json())]
                yield batch
                if any(isinstance(event, ResponseFinished) for event in batch):
                    return
        raise UpstreamInterrupted("shout: the answer ended in the middle")


@asynccontextmanager
async def open_shout(config, context):
    """Open one account."""
    headers = {"Authorization": f"Bearer {config.api_key.reveal()}"}
    async with context.upstream(config.base_url, headers=headers) as upstream:
        yield ShoutProvider(upstream)


SHOUT = ProviderSpec(
    "shout",
    config=ShoutConfig,
    open=open_shout,
    model_prefixes=("shout-",),
    catalog=(ModelInfo("loud", description="says it again, louder"),),
)
