"""What can be set, what is refused, and which server wants what."""

import attrs
import pytest
from palaver import Secret
from palaver_openai.config import OpenAIConfig, quirks_of

KEY = Secret("sk-test")


def config(**fields):
    return OpenAIConfig(**{"api_key": KEY, **fields})


FIELDS = {field.name: field for field in attrs.fields(OpenAIConfig)}


def facts(name):
    (found,) = FIELDS[name].metadata.values()
    return found


def test_only_the_key_is_required():
    assert ["api_key"] == [name for name, field in FIELDS.items() if field.default is attrs.NOTHING]


def test_the_key_is_secret_and_comes_from_the_usual_variable():
    assert (Secret, ("OPENAI_API_KEY",)) == (FIELDS["api_key"].type, facts("api_key")["env"])
    assert "sk-test" not in repr(config())


def test_every_setting_says_what_it_is():
    assert all(facts(name)["help"] for name in FIELDS)


def test_the_standing_headers():
    made = config(organization="org", project="proj", headers={"X-Title": "palaver"})
    assert {
        "Authorization": "Bearer sk-test",
        "OpenAI-Organization": "org",
        "OpenAI-Project": "proj",
        "X-Title": "palaver",
    } == made.http_headers


@pytest.mark.parametrize("word", ["none", "None"])
def test_a_server_without_keys_gets_no_authorization(word):
    assert {} == config(api_key=Secret(word)).http_headers


def test_a_configured_header_wins():
    assert {"Authorization": "Basic x"} == config(headers={"Authorization": "Basic x"}).http_headers


@pytest.mark.parametrize(
    "url", ["", "api.openai.com", "ftp://x/v1", "https://", "https://u:p@x/v1", "https://x/v1?k=1"]
)
def test_a_base_url_that_cannot_work_is_refused(url):
    with pytest.raises(ValueError, match="base_url"):
        config(base_url=url)


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": Secret("sk-\nX-Evil: 1")},
        {"organization": "a\r\nb"},
        {"headers": {"X": "a\nb"}},
        {"headers": {"": "b"}},
        {"headers": {"X-ü": "b"}},
    ],
)
def test_what_would_break_a_header_is_refused_and_not_repeated(fields):
    with pytest.raises(ValueError, match="printable ASCII") as raised:
        config(**fields)
    assert "Evil" not in str(raised.value)


def test_an_unknown_word_for_reasoning_is_refused():
    with pytest.raises(ValueError, match="never, turn, always, got 'maybe'"):
        config(reasoning_back="maybe")


def test_quirks_follow_the_host_and_the_operator_has_the_last_word():
    assert ("max_completion_tokens", "never") == attrs.astuple(quirks_of(config()))[0:4:3]
    assert ("max_tokens", "turn") == attrs.astuple(quirks_of(config(base_url="http://gpu:8000/v1")))[0:4:3]
    made = quirks_of(config(max_tokens_field="max_new", stream_usage=False, reasoning_back="always"))
    assert ("max_new", False, "always") == (made.max_tokens_field, made.stream_usage, made.reasoning_back)
