"""Where values come from: defaults, the file, the environment, flags; and what is said about wrong ones."""

from pathlib import Path

import pytest
from palaver.config import ConfigInvalid, Loaded, load
from palaver.config.names import NAMES
from palaver.config.schema import Config


def loaded(folder: Path, yaml: str | None = None, environment=None, **options) -> Loaded:
    if yaml is not None:
        (folder / "config.yaml").write_text(yaml)
    return load(environment=environment or {}, folder=folder, **options)


def lines(found) -> list[str]:
    return [str(problem) for problem in found]


def test_nothing_set_gives_the_defaults(tmp_path):
    result = loaded(tmp_path)
    assert Config() == result.config
    assert () == result.problems
    assert () == result.warnings
    assert result.file is None
    assert {"default"} == {str(origin) for origin in result.origins.values()}


def test_flag_beats_environment_beats_file_beats_default(tmp_path):
    yaml = "server: {port: 1}\n"
    assert 3001 == loaded(tmp_path).config.server.port
    assert 1 == loaded(tmp_path, yaml).config.server.port
    assert 2 == loaded(tmp_path, yaml, {"AICHAT_PORT": "2"}).config.server.port
    flagged = loaded(tmp_path, yaml, {"AICHAT_PORT": "2"}, flags={"server.port": ("--port", 3)})
    assert 3 == flagged.config.server.port
    assert "--port" == str(flagged.origins["server.port"])


def test_every_value_knows_its_line_its_variable_or_that_it_is_a_default(tmp_path):
    yaml = "# first\nserver:\n  port: 1\n\nllm:\n  model: m\nproviders:\n  eu:\n    plugin: openai\n    timeout: 3\n"
    origins = loaded(tmp_path, yaml, {"CORS_ORIGINS": "http://a"}).origins
    assert "config.yaml:3" == str(origins["server.port"])
    assert "config.yaml:6" == str(origins["llm.model"])
    assert "config.yaml:10" == str(origins["providers.eu.timeout"])
    assert "CORS_ORIGINS" == str(origins["server.cors_origins"])
    assert "default" == str(origins["server.host"])


def test_the_first_variable_of_a_path_wins_and_an_empty_one_counts_as_unset(tmp_path):
    assert 1 == loaded(tmp_path, environment={"PORT": "2", "AICHAT_PORT": "1"}).config.server.port
    assert 2 == loaded(tmp_path, environment={"PORT": "2", "AICHAT_PORT": ""}).config.server.port


def test_all_problems_are_told_at_once_each_with_path_value_and_place(tmp_path):
    yaml = "\n".join(
        (
            "server:",
            "  port: soon",
            "  prot: 3",
            "  metrics: maybe",
            "llm:",
            "  temperature: hot",
            "  timeout: soon",
            "chat: 5",
            "colour: red",
        )
    )
    result = loaded(tmp_path, yaml, {"AICHAT_LLM_MAX_TOKENS": "many"}, flags={"logging.level": ("--log-level", "loud")})
    assert [
        "chat: expected settings by name (from config.yaml:8)",
        "colour: unknown setting (from config.yaml:9)",
        "llm.max_tokens: expected an integer, got 'many' (from AICHAT_LLM_MAX_TOKENS)",
        "llm.temperature: expected a number, got 'hot' (from config.yaml:6)",
        "llm.timeout: expected seconds, got 'soon' (from config.yaml:7)",
        "logging.level: expected debug, info, warn or error, got 'loud' (from --log-level)",
        "server.metrics: expected true or false, got 'maybe' (from config.yaml:4)",
        "server.port: expected an integer, got 'soon' (from config.yaml:2)",
        "server.prot: unknown setting; did you mean 'port'? (from config.yaml:3)",
    ] == sorted(lines(result.problems))
    with pytest.raises(ConfigInvalid, match=r"server\.port: expected an integer, got 'soon' \(from config\.yaml:2\)"):
        result.require()


def test_a_wrong_value_keeps_its_default_so_that_recovery_commands_can_go_on(tmp_path):
    result = loaded(tmp_path, "server: {port: soon, host: '127.0.0.2'}")
    assert (3001, "127.0.0.2") == (result.config.server.port, result.config.server.host)


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("AICHAT_PORT", " 8080 ", lambda c: c.server.port == 8080),
        ("AICHAT_LOG_JSON", "Yes", lambda c: c.logging.json is True),
        ("AICHAT_LOG_JSON", "0", lambda c: c.logging.json is False),
        ("AICHAT_LLM_TEMPERATURE", "0.5", lambda c: c.llm.temperature == 0.5),
        ("TEMPERATURE", "1", lambda c: c.llm.temperature == 1.0),
        ("MAX_TOKENS", "100", lambda c: c.llm.max_tokens == 100),
        ("AICHAT_LLM_TIMEOUT", "1m30s", lambda c: c.llm.timeout == 90),
        ("AICHAT_LLM_CONNECT_TIMEOUT", "250ms", lambda c: c.llm.connect_timeout == 0.25),
        (
            "AICHAT_CORS_ORIGINS",
            "http://a, https://b:1,",
            lambda c: c.server.cors_origins == ("http://a", "https://b:1"),
        ),
        ("AICHAT_TRUSTED_PEERS", "10.0.0.0/8,fd00::1", lambda c: len(c.server.trusted_peers) == 2),
        ("AICHAT_SYSTEM_PROMPT", "one, two", lambda c: c.llm.system_prompt == "one, two"),
        ("AICHAT_MCP_SERVERS_FILE", "m.json", lambda c: c.tools == {"mcp": {"servers_file": "m.json"}}),
        ("AICHAT_API_KEY", "sk-x", lambda c: c.llm.api_key.reveal() == "sk-x"),
    ],
)
def test_a_variable_is_converted_to_the_type_of_its_setting(tmp_path, variable, text, read):
    result = loaded(tmp_path, environment={variable: text})
    assert () == result.problems
    assert read(result.config)


def test_every_name_of_the_table_leads_to_a_setting(tmp_path):
    for name in NAMES:
        for variable in (*name.variables, *name.library):
            result = loaded(tmp_path, environment={variable: "\0"}, library=True)
            touched = [path for path, origin in result.origins.items() if str(origin) == variable]
            assert name.path in touched, variable


def test_library_variables_count_only_for_the_library(tmp_path):
    environment = {"AI_PROVIDER": "mock", "AI_MAX_RETRIES": "4", "AI_TIMEOUT": "30s", "AI_RETRY_BACKOFF": "1s"}
    assert Config() == loaded(tmp_path, environment=environment).config
    config = loaded(tmp_path, environment=environment, library=True).config
    assert ("mock", 5, 30.0, 1.0) == (
        config.llm.provider,
        config.resilience.attempts,
        config.llm.timeout,
        config.resilience.backoff,
    )


def test_the_older_spellings_of_the_file_are_understood(tmp_path):
    yaml = (
        "database: {dsn: 'postgres://u:p@h/d'}\n"
        "mcp: {servers_file: m.json}\n"
        "llm: {provider: openai, api_key: k, model: m, base_url: '', system_prompt: s, timeout_seconds: 12, "
        "temperature: 0.1, options: {organization: o}}\n"
    )
    result = loaded(tmp_path, yaml)
    assert [] == lines(result.problems)
    config = result.config
    assert "postgres://u:p@h/d" == config.storage.url.reveal()
    assert {"mcp": {"servers_file": "m.json"}} == config.tools
    assert (None, 12.0, {"organization": "o"}) == (config.llm.base_url, config.llm.timeout, config.llm.options)


def test_two_spellings_of_one_setting_are_refused(tmp_path):
    yaml = "storage: {url: 'sqlite:///a'}\ndatabase: {dsn: 'sqlite:///b'}\n"
    expected = ["database.dsn: is another spelling of storage.url, set at config.yaml:1 (from config.yaml:2)"]
    assert expected == lines(loaded(tmp_path, yaml).problems)


def test_database_parts_make_an_address_when_no_address_is_given(tmp_path):
    environment = {"AICHAT_DB_HOST": "db", "AICHAT_DB_PASSWORD": "p@ss/w?rd#"}
    result = loaded(tmp_path, environment=environment)
    expected = "postgresql://ai_chat_user:p%40ss%2Fw%3Frd%23@db:5432/ai_chat?sslmode=disable"
    assert expected == result.config.storage.url.reveal()
    assert "AICHAT_DB_HOST, AICHAT_DB_PASSWORD" == str(result.origins["storage.url"])
    given = loaded(tmp_path, environment={**environment, "AICHAT_DATABASE_URL": "sqlite:///x"})
    assert "sqlite:///x" == given.config.storage.url.reveal()


def test_a_wrong_port_of_the_database_is_told_with_its_variable(tmp_path):
    result = loaded(tmp_path, environment={"AICHAT_DB_PORT": "many"})
    assert ["storage.url: expected a port from 1 to 65535 (from AICHAT_DB_PORT)"] == lines(result.problems)


def test_provider_entries_mix_our_keys_with_the_options_of_the_plugin(tmp_path):
    yaml = (
        "providers:\n"
        "  eu: {plugin: azure, models: [a, b], model_prefixes: 'x-,y-', enabled: false, deployment: d, deep: {n: 1}}\n"
        "  openai:\n"
        "  'bad name': {}\n"
        "  listed: [1]\n"
    )
    result = loaded(tmp_path, yaml)
    entry = result.config.providers["eu"]
    assert ("azure", ("a", "b"), ("x-", "y-"), False) == (
        entry.plugin,
        entry.models,
        entry.model_prefixes,
        entry.enabled,
    )
    assert {"deployment": "d", "deep": {"n": 1}} == entry.options
    assert "openai" == result.config.providers["openai"].plugin
    assert [
        "providers.bad name: expected a name of letters, digits and . _ - (from config.yaml:4)",
        "providers.listed: expected settings, such as '{plugin: openai}' (from config.yaml:5)",
    ] == lines(result.problems)


def test_a_problem_inside_a_list_or_mapping_names_the_item_and_its_line(tmp_path):
    yaml = "plugins:\n  allow:\n    - one\n    - 2\nrouting:\n  fallback:\n    gpt-4.1: [a/b]\n    other: {x: y}\n"
    result = loaded(tmp_path, yaml)
    assert [
        "plugins.allow[1]: expected text, got 2: put it in quotes (from config.yaml:4)",
        "routing.fallback.other: expected a list, got settings (from config.yaml:8)",
    ] == sorted(lines(result.problems))


def test_a_setting_with_nothing_after_its_colon_counts_as_absent(tmp_path):
    result = loaded(tmp_path, "server:\nllm:\n  model:\n  api_key: ~\nproviders:\ntools: {mcp: }\n")
    assert () == result.problems
    assert {"mcp": {}} == result.config.tools
    assert "default" == str(result.origins["llm.model"])


def test_a_flag_or_variable_below_a_broken_section_does_not_hide_the_problem(tmp_path):
    result = loaded(tmp_path, "server: 3\n", {"AICHAT_PORT": "2"})
    assert ["server: expected settings by name (from config.yaml:1)"] == lines(result.problems)


# --- files -------------------------------------------------------------------------------------------


def test_the_named_file_has_to_be_there_and_the_usual_one_need_not(tmp_path):
    assert () == loaded(tmp_path).problems
    assert ["file 'other.yaml' cannot be read: no such file or directory"] == lines(
        loaded(tmp_path, file="other.yaml").problems
    )
    assert ["file 'gone.yaml' cannot be read: no such file or directory"] == lines(
        loaded(tmp_path, environment={"AICHAT_CONFIG": "gone.yaml"}).problems
    )


def test_env_only_reads_no_file(tmp_path):
    yaml = "server: {port: 1}"
    assert 3001 == loaded(tmp_path, yaml, env_only=True).config.server.port
    assert 3001 == loaded(tmp_path, yaml, {"AICHAT_ENV_ONLY": "true"}).config.server.port
    assert 1 == loaded(tmp_path, yaml, {"AICHAT_ENV_ONLY": "false"}).config.server.port


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("server: {port: 1\nllm: 3", "not valid YAML: while parsing a flow mapping"),
        ("a: b: c", "not valid YAML: mapping values are not allowed here (from config.yaml:1)"),
        ("- a\n- b", "expected settings such as 'server: …' at the top of the file (from config.yaml:1)"),
        ("text", "expected settings such as 'server: …' at the top of the file (from config.yaml:1)"),
        ("server: {}\n---\nllm: {}", "not valid YAML: expected a single document in the stream"),
        ("llm: {model: !!python/object:os.system x}", "llm.model: has a YAML tag"),
        ("llm: {api_key: *canary-secret}", "not valid YAML: found undefined alias … (from config.yaml:1)"),
        ("server: {port: 1}\nserver: {port: 2}", "server: is set twice, first at config.yaml:1 (from config.yaml:2)"),
        ("llm:\n  ? [a]\n  : b", "llm: expected a name before ':'"),
        ("llm: &a\n  options: *a", "llm.options: nests more than 32 levels"),
        ("x: " + "[" * 3000, "nests more than 32 levels"),
        ("llm: {model: \x01}", "not valid YAML: it has characters that no text has"),
        ("llm: {max_tokens: !!int soon}", "llm.max_tokens: is not what its tag !!int says"),
    ],
)
def test_a_broken_file_is_a_problem_with_its_line_and_never_an_exception(tmp_path, yaml, expected):
    result = loaded(tmp_path, yaml)
    assert lines(result.problems)[0].startswith(expected)
    assert "canary-secret" not in str(result.problems)


def test_a_file_that_is_no_text_is_a_problem(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    assert ["file 'config.yaml' is not UTF-8 text"] == lines(loaded(tmp_path).problems)


def test_an_empty_file_sets_nothing(tmp_path):
    assert Config() == loaded(tmp_path, "# nothing\n").config


def test_anchors_and_merges_work_and_own_settings_win_over_merged_ones(tmp_path):
    yaml = "providers:\n  eu: &base {plugin: openai, timeout: 3}\n  us:\n    <<: *base\n    timeout: 4\n"
    result = loaded(tmp_path, yaml)
    assert () == result.problems
    assert {"timeout": 4} == result.config.providers["us"].options
    assert "openai" == result.config.providers["us"].plugin


def test_a_date_is_text(tmp_path):
    result = loaded(tmp_path, "providers: {eu: {plugin: azure, api_version: 2024-10-21}}")
    assert {"api_version": "2024-10-21"} == result.config.providers["eu"].options


# --- references --------------------------------------------------------------------------------------


def test_references_expand_in_the_file(tmp_path):
    (tmp_path / "secret").write_text("from-file\n")
    yaml = (
        "llm:\n"
        "  model: ${MODEL}\n"
        "  api_key: ${file:secret}\n"
        "  system_prompt: 'costs $5, not $${MODEL}; ${MODEL}-${SIZE:-large}'\n"
        "  max_tokens: ${TOKENS:-12}\n"
        "server: {allowed_hosts: ['${A}', '${B}', c]}\n"
    )
    result = loaded(tmp_path, yaml, {"MODEL": "m", "B": "b"})
    assert () == result.problems
    llm = result.config.llm
    assert ("m", "from-file", 12) == (llm.model, llm.api_key.reveal(), llm.max_tokens)
    assert "costs $5, not ${MODEL}; m-large" == llm.system_prompt
    assert ("b", "c") == result.config.server.allowed_hosts


def test_a_reference_to_an_unset_variable_counts_as_an_absent_line_and_is_reported(tmp_path):
    result = loaded(tmp_path, "llm:\n  api_key: ${NOPE}\n  model: a-${EMPTY}\n", {"EMPTY": ""})
    assert (None, "") == (result.config.llm.api_key, result.config.llm.model)
    assert () == result.problems
    assert [
        "llm.api_key: NOPE is not set, so the line counts as absent (from config.yaml:2)",
        "llm.model: EMPTY is not set, so the line counts as absent (from config.yaml:3)",
    ] == lines(result.warnings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${file:gone}", "cannot be read: no such file or directory (from config.yaml:1)"),
        ("${file:.}", "cannot be read: is a directory (from config.yaml:1)"),
        ("${file:binary}", "is not UTF-8 text (from config.yaml:1)"),
        ("${file:large}", "has more than 65536 bytes (from config.yaml:1)"),
        ("${1x}", "expected ${NAME}, ${NAME:-default} or ${file:PATH}"),
        ("${}", "expected ${NAME}, ${NAME:-default} or ${file:PATH}"),
        ("${NAME", "'${' without '}'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_problem(tmp_path, text, expected):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    result = loaded(tmp_path, f'llm: {{api_key: "{text}"}}')
    assert 1 == len(result.problems)
    assert expected in str(result.problems[0])
    assert result.config.llm.api_key is None


def test_an_expanded_value_is_not_repeated_in_a_message(tmp_path):
    result = loaded(tmp_path, "server: {port: '${P}', dev_user: '${P}'}", {"P": "not/a/port"})
    assert [
        "server.dev_user: expected 1 to 255 characters of A–Z a–z 0–9 . _ @ : - (from config.yaml:1)",
        "server.port: expected an integer (from config.yaml:1)",
    ] == sorted(lines(result.problems))


def test_what_is_expanded_is_not_expanded_again(tmp_path):
    result = loaded(tmp_path, "llm: {system_prompt: '${A}'}", {"A": "${B}", "B": "b"})
    assert "${B}" == result.config.llm.system_prompt


# --- .env files --------------------------------------------------------------------------------------


def test_an_env_file_is_read_only_when_named_and_is_weaker_than_the_environment(tmp_path):
    (tmp_path / ".env").write_text(
        "# comment\n\nexport AICHAT_PORT=1\nAICHAT_HOST='127.0.0.2' # why\n"
        'OPENAI_API_KEY=sk-1 # mine\nAICHAT_LLM_MODEL="a # b"\n'
    )
    assert 3001 == loaded(tmp_path).config.server.port
    result = loaded(tmp_path, env_file=".env", environment={"AICHAT_HOST": "127.0.0.3", "AICHAT_PORT": ""})
    assert (1, "127.0.0.3") == (result.config.server.port, result.config.server.host)
    assert "a # b" == result.config.llm.model
    assert "AICHAT_PORT in .env:3" == str(result.origins["server.port"])
    assert "sk-1" == result.environment["OPENAI_API_KEY"]


def test_a_wrong_line_of_an_env_file_is_a_problem(tmp_path):
    (tmp_path / ".env").write_text("A=1\ncanary secret\n")
    result = loaded(tmp_path, env_file=".env")
    assert ["expected NAME=value (from .env:2)"] == lines(result.problems)
    assert 1 == len(loaded(tmp_path, env_file="gone").problems)


# --- what only the whole shows -----------------------------------------------------------------------

KEY = "0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.0.1"])
def test_a_loopback_bind_needs_nothing_further(tmp_path, host):
    assert () == loaded(tmp_path, environment={"AICHAT_HOST": host}).problems


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_a_bind_that_others_reach_needs_a_trusted_network_a_proxy_secret_or_keys(tmp_path, host):
    result = loaded(tmp_path, environment={"AICHAT_HOST": host})
    assert 1 == len(result.problems)
    assert f"server.host: '{host}' is reachable from elsewhere" in str(result.problems[0])
    for variable, text in (
        ("AICHAT_TRUSTED_PEERS", "10.0.0.0/8"),
        ("AICHAT_PROXY_SECRET", KEY),
        ("AICHAT_API_KEYS", f"me={KEY}"),
    ):
        assert () == loaded(tmp_path, environment={"AICHAT_HOST": host, variable: text}).problems


def test_a_development_user_is_refused_beyond_loopback_whatever_else_is_set(tmp_path):
    flags = {"server.host": ("--host", "0.0.0.0"), "server.dev_user": ("--dev-user", "me")}
    result = loaded(tmp_path, environment={"AICHAT_API_KEYS": f"me={KEY}"}, flags=flags)
    assert [
        "server.dev_user: only a loopback bind may serve everybody as one user, and '0.0.0.0' is none (from --dev-user)"
    ] == lines(result.problems)


def test_keys_that_look_swapped_are_warned_about_without_being_shown(tmp_path):
    environment = {"AICHAT_API_KEYS": "me=sk-canary-0123456789", "AICHAT_API_KEY": f"ann={KEY},bob={KEY}"}
    warnings = lines(loaded(tmp_path, environment=environment).warnings)
    assert 2 == len([line for line in warnings if "are AICHAT_API_KEY and AICHAT_API_KEYS swapped?" in line])
    assert not any("canary" in line or KEY in line for line in warnings)


def test_a_key_without_a_provider_is_nobodys_and_warned_about(tmp_path):
    assert ["llm.api_key: is nobody's, because llm.provider is not set (from AICHAT_API_KEY)"] == lines(
        loaded(tmp_path, environment={"AICHAT_API_KEY": "k"}).warnings
    )
    assert () == loaded(tmp_path, environment={"AICHAT_API_KEY": "k", "AICHAT_LLM_PROVIDER": "openai"}).warnings


def test_short_and_doubled_keys_are_problems_and_bare_ones_warnings(tmp_path):
    short = loaded(tmp_path, environment={"AICHAT_API_KEYS": f"me={KEY},short"})
    assert [
        "server.api_keys: key 2 of 2: the key has 5 characters, and at least 16 are needed (from AICHAT_API_KEYS)"
    ] == lines(short.problems)
    twice = loaded(tmp_path, environment={"AICHAT_API_KEYS": f"me={KEY},you={KEY}"})
    assert ["server.api_keys: key 2 of 2: the same key is given to two owners (from AICHAT_API_KEYS)"] == lines(
        twice.problems
    )
    bare = loaded(tmp_path, environment={"AICHAT_API_KEYS": KEY})
    assert () == bare.problems
    assert "server.api_keys: 1 without an owner" in lines(bare.warnings)[0]


def test_an_unknown_variable_of_ours_is_warned_about_with_the_nearest_name(tmp_path):
    environment = {"AICHAT_LLM_MODLE": "x", "AICHAT_VERSION": "1", "GIN_MODE": "release", "OTHER": "x"}
    assert ["AICHAT_LLM_MODLE means nothing to Palaver; did you mean 'AICHAT_LLM_MODEL'? (from AICHAT_LLM_MODLE)"] == (
        lines(loaded(tmp_path, environment=environment).warnings)
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("server.port", 65536),
        ("server.port", -1),
        ("server.keepalive", 16),
        ("server.keepalive", 0),
        ("server.trusted_peers", ["10.0.0.0/33"]),
        ("server.cors_origins", ["http://a/path"]),
        ("server.proxy_secret", "short"),
        ("server.dev_user", "a b"),
        ("llm.base_url", "ftp://x"),
        ("llm.temperature", 2.5),
        ("llm.timeout", 0),
        ("resilience.attempts", 0),
        ("storage.url", "nowhere"),
        ("limits.json_depth", 0),
        ("logging.level", "loud"),
    ],
)
def test_a_value_of_the_right_type_may_still_be_out_of_range(tmp_path, path, value):
    result = loaded(tmp_path, flags={path: ("--flag", value)})
    assert [path] == [problem.path for problem in result.problems]


def test_a_secret_is_in_no_message_and_no_dump(tmp_path):
    canary = "canary-zzzzzzzzzzzzzzzzzzzz"
    yaml = (
        f"server: {{port: {canary}, proxy_secret: [{canary}], api_keys: ['{canary}=', {canary}], dev_user: [x]}}\n"
        f"llm: {{api_key: {canary}, temperature: '{canary}', base_url: 'ftp://u:{canary}@h'}}\n"
        f"storage: {{url: 'postgres://u:{canary}@h/d'}}\n"
        f"providers: {{eu: {{plugin: openai, api_key: {canary}, enabled: {canary}}}}}\n"
        f"tools: {{mcp: {{env: {{TOKEN: {canary}}}}}}}\n"
        f"middlewares: [{{filter: {{key: {canary}}}}}]\n"
        f"observers: {{log: {canary}}}\n"
    )
    result = loaded(tmp_path, yaml, {"AICHAT_METRICS": canary, "AICHAT_LOG_LEVEL": canary, "X": canary})
    assert len(result.problems) > 6
    shown = "\n".join((*lines(result.problems), *lines(result.warnings), repr(result), repr(result.config)))
    assert canary not in shown
