"""Words for exceptions that are not ours, raised by plugins or their libraries: one line, no secret."""

import traceback

from palaver.assembly.wording import Wording
from palaver.config import Loaded
from palaver.config.masking import scrub
from palaver.config.secrets import secret_texts

__all__ = ["wording"]


def wording(error: BaseException, loaded: Loaded) -> tuple[str, str]:
    """Give one line and the traceback of *error*; what the configuration calls secret is masked in both."""
    secrets = secret_texts(loaded)
    line = Wording(loaded.environment).line(error)
    return scrub(line, secrets), scrub("".join(traceback.format_exception(error)), secrets)
