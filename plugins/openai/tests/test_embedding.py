"""The answer of the embeddings endpoint."""

import base64
import struct

import pytest
from palaver import QuotaExhausted, UpstreamMalformed
from palaver_openai.embedding import read_embeddings


def entry(index, *numbers, packed=False):
    value = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode() if packed else list(numbers)
    return {"object": "embedding", "index": index, "embedding": value}


@pytest.mark.parametrize("packed", [True, False])
def test_vectors_come_in_the_order_of_their_inputs(packed):
    data = [entry(1, 0.5, packed=packed), entry(0, 1.0, packed=packed)]
    found = read_embeddings({"model": "e", "data": data, "usage": {"prompt_tokens": 4}}, 2)
    assert (((1.0,), (0.5,)), "e", 4) == (found.vectors, found.model, found.usage.input_tokens)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"data": None},
        {"data": []},
        {"data": [entry(0, 1.0)] * 2},
        *({"data": [entry(0, 1.0), second]} for second in (entry(5, 1.0), entry(0, 1.0), 7, entry(1), {"index": 1})),
        *({"data": [entry(0, 1.0), {"index": 1, "embedding": value}]} for value in ("!", ["x"], "AA==")),
    ],
)
def test_what_is_not_a_vector_per_input_is_malformed(document):
    with pytest.raises(UpstreamMalformed, match="acme answered with"):
        read_embeddings(document, 2, provider="acme")


def test_an_error_in_a_good_answer_is_one():
    with pytest.raises(QuotaExhausted):
        read_embeddings({"error": {"code": "insufficient_quota"}}, 1)
