"""From a model name to targets: by what is claimed, never by the order of installation."""

import itertools

import pytest
from palaver import ModelNotFound
from palaver.pipeline import Claims, Routes, Target

OPENAI = Claims("openai", "openai", prefixes=("gpt-", "o1"))
EU = Claims("eu", "openai", prefixes=("gpt-",))
VLLM = Claims("vllm", "openai", models=("meta-llama/Llama-3",), prefixes=("qwen",))
BARE = Claims("mock", "mock")


def routes(*claims: Claims, **more: object) -> Routes:
    return Routes(claims={claim.instance: claim for claim in claims}, **more)  # type: ignore[arg-type]


def test_a_prefix_finds_its_instance() -> None:
    assert (Target("openai", "gpt-4o"),) == routes(OPENAI, VLLM).resolve("gpt-4o")


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    special = Claims("special", "acme", prefixes=("gpt-4o-",))
    for order in itertools.permutations([OPENAI, special, VLLM]):
        assert (Target("special", "gpt-4o-mini"),) == routes(*order).resolve("gpt-4o-mini")


def test_an_instance_before_the_slash_is_taken_at_its_word() -> None:
    assert (Target("mock", "anything/at all"),) == routes(OPENAI, BARE).resolve("mock/anything/at all")


def test_a_slash_in_a_model_name_is_no_instance() -> None:
    assert (Target("vllm", "meta-llama/Llama-3"),) == routes(OPENAI, VLLM).resolve("meta-llama/Llama-3")
    with pytest.raises(ModelNotFound):
        routes(OPENAI, VLLM).resolve("meta-llama/other")


def test_among_equals_preference_decides_then_the_plugins_own_name() -> None:
    assert "eu" == routes(OPENAI, EU, prefer=("eu",)).resolve("gpt-4o")[0].instance
    assert "openai" == routes(EU, OPENAI).resolve("gpt-4o")[0].instance


def test_when_nothing_decides_the_error_lists_the_choices() -> None:
    us = Claims("us", "openai", prefixes=("gpt-",))
    with pytest.raises(ModelNotFound, match="name one of eu/gpt-4o, us/gpt-4o") as caught:
        routes(us, EU).resolve("gpt-4o")
    assert ("eu/gpt-4o", "us/gpt-4o") == caught.value.known


def test_a_model_nobody_claims_is_an_error_even_when_there_is_a_default() -> None:
    default = Target("mock", "echo")
    with pytest.raises(ModelNotFound, match="'nonsense' is not known here"):
        routes(OPENAI, BARE, default=default).resolve("nonsense")
    assert (default,) == routes(OPENAI, BARE, default=default).resolve(None)
    assert (default,) == routes(OPENAI, BARE, default=default).resolve("")
    assert (default,) == routes(OPENAI, BARE, default=default).resolve("echo")


def test_without_a_default_a_request_must_name_a_model() -> None:
    with pytest.raises(ModelNotFound, match="no model was named"):
        routes(OPENAI).resolve(None)


def test_a_fallback_that_is_not_ready_is_left_out_and_the_first_target_serves() -> None:
    fallback = {"gpt-4o": ("gone/gpt-4o", "mock/echo")}
    assert (Target("openai", "gpt-4o"), Target("mock", "echo")) == routes(OPENAI, BARE, fallback=fallback).resolve(
        "gpt-4o"
    )


def test_fallback_targets_follow_in_order_and_once() -> None:
    fallback = {"gpt-4o": ("eu/gpt-4o", "openai/gpt-4o", "mock/echo")}
    targets = routes(OPENAI, EU, BARE, prefer=("openai",), fallback=fallback).resolve("gpt-4o")
    assert (Target("openai", "gpt-4o"), Target("eu", "gpt-4o"), Target("mock", "echo")) == targets
