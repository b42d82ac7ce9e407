"""Why an answer ended, in the words of OpenAI and of the servers that speak its dialect. Data."""

from collections.abc import Mapping

from palaver import FinishReason, Overloaded, ProviderError, UpstreamFailed, UpstreamInterrupted

__all__ = ["FINISH_ERRORS", "FINISH_REASONS"]

#: The vendors' words for why an answer ended; those that mean failure stand below.
FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}

#: Finish reasons that say the answer was not finished.
FINISH_ERRORS: Mapping[str, type[ProviderError]] = {
    "error": UpstreamFailed,
    "abort": UpstreamInterrupted,
    "aborted": UpstreamInterrupted,
    "cancelled": UpstreamInterrupted,
    "canceled": UpstreamInterrupted,
    # https://docs.z.ai/api-reference/llm/chat-completion
    "network_error": UpstreamInterrupted,
    # https://api-docs.deepseek.com/api/create-chat-completion
    "insufficient_system_resource": Overloaded,
}
