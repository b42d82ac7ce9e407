"""What can be set about a Shout account."""

import attrs
from palaver import Secret, setting


@attrs.frozen
class ShoutConfig:
    """Configuration of one Shout account."""

    api_key: Secret = setting(env="SHOUT_API_KEY", help="the word Shout wants to hear")
    base_url: str = setting(default="http://127.0.0.1:8707", env="SHOUT_BASE_URL", help="where Shout listens")
