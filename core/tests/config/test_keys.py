"""Callers' keys as the operator writes them."""

import hashlib

import pytest
from palaver.config.keys import parse_key
from palaver.errors import ConfigError
from palaver.settings import Secret


@pytest.mark.parametrize(
    ("item", "owner", "key"),
    [
        ("ann=0123456789abcdef", "ann", "0123456789abcdef"),
        ("ann@example.org=abc=defghijklmno=", "ann@example.org", "abc=defghijklmno="),
        ("  ann=0123456789abcdef  ", "ann", "0123456789abcdef"),
    ],
)
def test_an_item_is_split_at_its_first_equals_sign_when_a_whole_key_follows(item, owner, key):
    parsed = parse_key(Secret(item))
    assert (owner, key, False) == (parsed.owner, parsed.key.reveal(), parsed.bare)


@pytest.mark.parametrize(
    "item", ["0123456789abcdef", "MDEyMzQ1Njc4OWFiY2Q=", "MDEyMzQ1Njc4OWFiYw==", "ann=0123456789abcde"]
)
def test_any_other_item_is_a_bare_key_whose_owner_follows_from_it(item):
    parsed = parse_key(item)
    owner = "key-" + hashlib.sha256(item.encode()).hexdigest()[:12]
    assert (owner, item, True) == (parsed.owner, parsed.key.reveal(), parsed.bare)


@pytest.mark.parametrize(
    "item", ["", "canary", "a=canary", "0123456789abcde", "an n=0123456789canary", "=0123456789canary"]
)
def test_a_short_key_or_an_odd_owner_is_refused_without_being_shown(item):
    with pytest.raises(ConfigError) as caught:
        parse_key(item)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("item", ["ann=0123456789abcde f", "ann=0123456789abcdéf", "0123456789\tabcdef"])
def test_a_key_that_no_header_can_carry_is_refused(item):
    with pytest.raises(ConfigError, match="Authorization header"):
        parse_key(item)
