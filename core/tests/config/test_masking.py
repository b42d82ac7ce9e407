"""What is shown of values, and what never is."""

import pytest
from palaver.config.masking import quoted, scrub, show, show_raw, show_url
from palaver.settings import Secret


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///.palaver/palaver.db", "sqlite:///.palaver/palaver.db"),
        ("sqlite:////var/lib/p.db?mode=ro", "sqlite:////var/lib/p.db?mode=ro"),
        ("postgresql://ann:canary@db:5432/chat?sslmode=require", "postgresql://ann:***@db:5432/chat?sslmode=require"),
        ("postgres://canary@db/chat", "postgres://***@db/chat"),
        ("postgres://db/chat?password=canary&sslmode=disable", "postgres://db/chat?password=***&sslmode=disable"),
        ("postgres://ann:canary@[::1]:5432/chat", "postgres://ann:***@[::1]:5432/chat"),
        ("postgres://ann:can/ary@db/chat", "postgres://***"),
        ("postgres://ann:12/canary@db/chat", "postgres://***"),
        ("postgres://ann:can#ary@db/chat", "postgres://***"),
        ("postgres://ann:can?canary@db/chat", "postgres://***"),
        ("postgres://ann:p@canary@db/chat", "postgres://ann:***@db/chat"),
        ("postgres://db:notaport/canary", "postgres://***"),
        ("odd:canary", "odd:***"),
        ("canary", "***"),
    ],
)
def test_an_address_is_shown_without_what_could_be_secret(url, shown):
    assert shown == show_url(url)


def test_secrets_are_masked_wherever_they_stand():
    value = {"a": Secret("canary"), "b": [Secret("canary"), {"c": (Secret("canary"),)}], "token": "canary"}
    assert "{a: ***, b: [***, {c: [***]}], token: ***}" == show(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "true"), (None, "-"), (30.0, "30"), (5, "5"), ((), "[]"), ("", "''"), ("a b", "a b"), ("a\nb", "'a\\nb'")],
)
def test_plain_values_are_shown_as_one_writes_them(value, shown):
    assert shown == show(value)


@pytest.mark.parametrize(
    "name", ["api_key", "ApiKey", "token", "client_secret", "password", "dsn", "headers", "private"]
)
def test_an_unexplained_option_with_a_secret_name_is_masked(name):
    assert "***" == show_raw(name, "canary")
    assert "***" == show_raw(name, ["canary"])


@pytest.mark.parametrize("value", ["sk-canary", "AIzaCanary", "canary0123456789012345", "u:canary@host", "c" * 41])
def test_a_wrong_value_that_looks_like_a_secret_is_not_repeated(value):
    assert f"text of {len(value)} characters" == quoted(value)


def test_scrubbing_leaves_ordinary_words_alone():
    assert "got *** and a" == scrub("got canary and a", ["canary", "a"])
