"""The bytes around the text of a plain chunk, learnt once, so that the next need not be parsed whole. Pure."""

import orjson

__all__ = ["Around"]


class Around:
    """The bytes around the text of a plain chunk, so that the next one like it need not be parsed whole.

    Two documents that agree before and after one complete JSON string differ in that string alone.
    """

    __slots__ = ("after", "before", "end", "start", "tries")

    def __init__(self) -> None:
        self.before = self.after = b"\0"  # which no JSON begins with
        self.start = self.end = 0
        # Where every chunk differs (OpenAI pads them against eavesdroppers) there is nothing to learn.
        self.tries = 4

    def learn(self, data: bytes, text: str) -> None:
        """Learn from *data*, a plain chunk that says *text*."""
        if not self.tries:
            return
        self.tries -= 1
        before, key, rest = data.partition(b'"content":')
        token = orjson.dumps(text)
        if rest[:1] == b" ":
            key, rest = key + b" ", rest[1:]
        # Were the key there twice, it could be another's string that differs.
        if rest.startswith(token) and b'"content":' not in rest:
            self.before, self.after = before + key, rest[len(token) :]
            self.start, self.end = len(self.before), -len(self.after)
