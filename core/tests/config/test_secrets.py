"""The list of texts that must not be read anywhere."""

from palaver.config import load
from palaver.config.secrets import secret_texts


def test_it_holds_secrets_of_core_of_options_of_the_environment_and_passwords_in_addresses(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "llm: {provider: a, api_key: core-secret}\n"
        "storage: {url: 'postgresql://ann:p%40ssword@host/chat'}\n"
        "server: {api_keys: [ann=0123456789abcdef]}\n"
        "providers:\n"
        "  a: {plugin: x, token: [listed-secret], region: eu-central, host: '${HOSTED}', url: 'https://u:in-address@h'}\n"
        "middlewares: [{filter: {headers: {x: header-secret}, level: strict-mode}}]\n"
    )
    environment = {"OPENAI_API_KEY": "environment-secret", "HOSTED": "from-a-variable", "EDITOR": "some-editor"}
    found = secret_texts(load(environment=environment, folder=tmp_path))
    assert {
        "core-secret",
        "postgresql://ann:p%40ssword@host/chat",
        "p%40ssword",
        "p@ssword",
        "ann=0123456789abcdef",
        "0123456789abcdef",
        "listed-secret",
        "from-a-variable",
        "in-address",
        "header-secret",
        "environment-secret",
    } <= set(found)
    assert not {"eu-central", "strict-mode", "some-editor", "sqlite:///.palaver/palaver.db"} & set(found)


def test_what_it_lists_is_long_enough_not_to_blot_out_words(tmp_path):
    found = secret_texts(load(environment={"A_KEY": "abc", "B_TOKEN": ""}, folder=tmp_path))
    assert not {"abc", ""} & set(found)
    assert sorted(found, key=len, reverse=True) == list(found)
