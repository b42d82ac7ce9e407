"""Whatever stands in the file, the environment or a plugin's options: problems, never another exception."""

from contextlib import suppress
from typing import Any

import attrs
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from palaver import Secret, setting
from palaver.config import ConfigInvalid, NotConfigured, load, plugin_config
from palaver.config.masking import quoted, show, show_url
from palaver.config.names import NAMES, SPELLINGS
from palaver.config.reading import fields_of
from palaver.config.schema import Config
from palaver.config.second_phase import shown_options, shown_settings

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CANARY = "canary-zzzzzzzzzzzz"

texts = st.sampled_from(
    ("", "3", "on", "a,b", "${X}", "${X:-y}", "${file:x}", "$${", "${", "1m", "10.0.0.0/8", "http://a")
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.text(max_size=8), st.integers(10**400, 10**401)
)
sections = st.sampled_from((*fields_of(Config), *(path.partition(".")[0] for path in SPELLINGS)))
keys = st.one_of(
    st.sampled_from(
        [name for field in fields_of(Config).values() if attrs.has(field.type) for name in fields_of(field.type)]
    ),
    st.sampled_from(("plugin", "models", "enabled", "dsn", "servers_file", "mcp", "timeout_seconds")),
    st.text(max_size=4),
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@QUICK
@given(
    st.dictionaries(sections, trees, max_size=5), st.dictionaries(st.sampled_from(NAMES), texts | st.text(max_size=8))
)
def test_any_settings_load_or_are_problems(tmp_path, tree, set_here):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree, allow_unicode=False))
    variables = {name.variables[0]: text for name, text in set_here.items() if name.variables}
    loaded = load(environment={**variables, "X": "x"}, folder=tmp_path)
    assert isinstance(loaded.config, Config)
    assert all(str(problem) for problem in (*loaded.problems, *loaded.warnings))
    # What was accepted is accepted again, as flags this time.
    for path, origin in loaded.origins.items():
        assert path
        assert str(origin)


@QUICK
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_file_loads_or_is_a_problem(tmp_path, content):
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    (tmp_path / "config.yaml").write_bytes(raw)
    (tmp_path / ".env").write_bytes(raw)
    assert isinstance(load(environment={}, folder=tmp_path, env_file=".env").config, Config)


@attrs.frozen
class Options:
    token: Secret | None = setting(default=None)
    number: float = setting(default=1.0)
    count: int = setting(default=1)
    flag: bool = setting(default=False)
    words: tuple[str, ...] = setting(default=())
    pairs: dict[str, int] = setting(factory=dict)
    anything: Any = setting(default=None)
    text: str = setting(default="")


@QUICK
@given(st.dictionaries(st.sampled_from(("token", "number", "count", "flag", "words", "pairs", "text", "odd")), trees))
def test_any_options_of_a_plugin_are_taken_or_are_problems(options):
    with suppress(ConfigInvalid, NotConfigured):
        assert isinstance(plugin_config(Options, options, {}, path="providers.x"), Options)
    shown_settings(Options, options, {}, path="providers.x", origins={})
    shown_options(options, path="providers.x", origins={})


@QUICK
@given(
    st.text(max_size=10),
    st.text(max_size=10),
    st.sampled_from(("", "@", ":", "/", "?", "#", "//", "%", "[", "]", "&", "=")),
)
def test_a_password_in_any_address_is_not_shown(before, after, sign):
    for address in (
        f"postgres://ann:{before}{sign}{CANARY}{sign}{after}@host:5432/chat",
        f"postgres://{CANARY}@host/chat",
        f"postgres://host/chat?password={CANARY}{sign}x",
    ):
        assert CANARY not in show_url(address)
        assert CANARY not in show(address)
        assert CANARY not in quoted(address)
