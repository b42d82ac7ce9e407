"""The operator's system prompt and sampling defaults, as every request of a conversation gets them. Pure."""

from datetime import datetime

from palaver.codec import write_time
from palaver.config.schema import LlmConfig
from palaver.domain import Message, Role, Sampling

__all__ = ["default_sampling", "operator_prompt"]


def operator_prompt(llm: LlmConfig, now: datetime) -> tuple[Message, ...]:
    """Give the configured system prompt with the time of this call below it; nothing when there is none."""
    if not llm.system_prompt.strip():
        return ()
    context = f"CURRENT CONTEXT\nCurrent time: {write_time(now)} ({now:%A}, UTC)"
    return (Message(Role.SYSTEM, f"{llm.system_prompt.rstrip()}\n\n{context}"),)


def default_sampling(llm: LlmConfig) -> Sampling:
    """Give the configured sampling options."""
    return Sampling(temperature=llm.temperature, top_p=llm.top_p, max_tokens=llm.max_tokens)
