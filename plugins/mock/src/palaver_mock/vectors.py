"""Vectors without a model: hashed words. Texts that share words come out near each other. Pure."""

import hashlib
import math
import re

__all__ = ["embed_text"]


def embed_text(text: str, dimensions: int) -> tuple[float, ...]:
    """Give the vector of *text*, of length 1; the same on every machine and in every process."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.casefold()):
        # Not hash(): that of a string differs from process to process.
        number = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8])
        vector[number % dimensions] += 1.0 if number >> 63 else -1.0
    length = math.hypot(*vector)
    if not length:
        # A text without words, or whose words cancel out, still needs a direction for cosines to be defined.
        return (1.0, *vector[1:])
    return tuple(value / length for value in vector)
