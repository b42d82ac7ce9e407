"""What can be set about an OpenAI instance, and the quirks of servers that only speak the dialect."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from palaver import Secret, setting

__all__ = ["DEFAULT_BASE_URL", "NO_KEY", "OpenAIConfig", "Quirks", "quirks_of"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
#: What ``api_key`` says for a server that wants none.
NO_KEY = "none"

#: Which assistant messages carry their reasoning back to the vendor.
_REASONING_BACK = ("never", "turn", "always")


@attrs.frozen
class Quirks:
    """How a server differs from the dialect's common ground."""

    #: Name of the field that limits the answer's length.
    max_tokens_field: str = "max_tokens"
    #: Name of the field for the seed.
    seed_field: str = "seed"
    #: Whether ``stream_options.include_usage`` is understood.
    stream_usage: bool = True
    #: ``never``, ``turn`` (within the turn that goes on) or ``always``.
    reasoning_back: str = "turn"
    #: Whether system messages go out with the role ``developer``.
    developer_role: bool = False
    #: Whether messages may carry a ``name``.
    names: bool = True


#: By host. OpenAI itself refuses message fields it does not know and has renamed ``max_tokens``.
_QUIRKS: Mapping[str, Quirks] = {
    "api.openai.com": Quirks(max_tokens_field="max_completion_tokens", reasoning_back="never"),
    # https://docs.mistral.ai/api/: usage comes unasked, and unknown fields are refused.
    "api.mistral.ai": Quirks(seed_field="random_seed", stream_usage=False, names=False),
    "api.groq.com": Quirks(max_tokens_field="max_completion_tokens"),
    "openrouter.ai": Quirks(reasoning_back="always"),
}
_COMMON = Quirks()


def _base_url(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{field.name}: expected http:// or https:// and a host, got {value!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{field.name}: expected no user, query or fragment; the key belongs into api_key")


def _header_text(_: object, field: "attrs.Attribute[Any]", value: Any) -> None:
    text = value.reveal() if isinstance(value, Secret) else value
    if text is not None and not (text.isascii() and text.isprintable()):
        raise ValueError(f"{field.name}: expected printable ASCII, as an HTTP header needs")


def _headers(_: object, field: "attrs.Attribute[Any]", value: Mapping[str, str]) -> None:
    for name, text in value.items():
        if not (name and f"{name}{text}".isascii() and f"{name}{text}".isprintable()):
            raise ValueError(f"{field.name}.{name}: expected printable ASCII, as an HTTP header needs")


def _reasoning_back(_: object, field: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None and value not in _REASONING_BACK:
        raise ValueError(f"{field.name}: expected {', '.join(_REASONING_BACK)}, got {value!r}")


@attrs.frozen
class OpenAIConfig:
    """Configuration of an OpenAI instance; ``None`` among the quirks takes what the server is known for."""

    api_key: Secret = setting(
        env="OPENAI_API_KEY",
        help="the account's key; `none` for a server that wants no key",
        validator=_header_text,
    )
    base_url: str = setting(
        default=DEFAULT_BASE_URL,
        env="OPENAI_BASE_URL",
        help="where the API is, with its version; any server that speaks the dialect",
        validator=_base_url,
    )
    organization: str | None = setting(
        default=None, env=("OPENAI_ORG_ID", "OPENAI_ORGANIZATION"), help="organization id", validator=_header_text
    )
    project: str | None = setting(default=None, env="OPENAI_PROJECT_ID", help="project id", validator=_header_text)
    headers: Mapping[str, str] = setting(factory=dict, help="further HTTP headers of every request", validator=_headers)
    max_tokens_field: str | None = setting(
        default=None, help="field that limits the answer: max_tokens or max_completion_tokens"
    )
    stream_usage: bool | None = setting(default=None, help="ask for token usage at the end of a stream")
    reasoning_back: str | None = setting(
        default=None,
        help="which messages carry their reasoning back: never, turn (the one that goes on) or always",
        validator=_reasoning_back,
    )
    developer_role: bool | None = setting(default=None, help="send system messages with the role developer")

    @property
    def http_headers(self) -> Mapping[str, str]:
        """The standing headers, the key among them."""
        headers: dict[str, str] = {}
        key = self.api_key.reveal()
        if key and key.lower() != NO_KEY:
            headers["Authorization"] = f"Bearer {key}"
        if self.organization:
            headers["OpenAI-Organization"] = self.organization
        if self.project:
            headers["OpenAI-Project"] = self.project
        return {**headers, **self.headers}


def quirks_of(config: OpenAIConfig) -> Quirks:
    """Tell how the server of *config* wants its requests: what is known of its host, then what is configured."""
    host = urlsplit(config.base_url).hostname or ""
    known = _QUIRKS.get(host, _COMMON)
    names = ("max_tokens_field", "stream_usage", "reasoning_back", "developer_role")
    given = {name: value for name in names if (value := getattr(config, name)) is not None}
    return attrs.evolve(known, **given)
