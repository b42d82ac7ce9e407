"""Which file an address means, and what is wrong with those that mean none."""

from pathlib import Path

import pytest
from palaver import ConfigError, Secret
from palaver_sqlite import palaver_storages
from palaver_sqlite.config import SqliteConfig


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///palaver.db", "palaver.db"),
        ("sqlite:///.palaver/palaver.db", ".palaver/palaver.db"),
        ("sqlite:////var/lib/palaver/a b%20.db", "/var/lib/palaver/a b%20.db"),
    ],
)
def test_an_address_names_a_file(url, path):
    assert Path(path) == SqliteConfig(url=url).path
    assert Path(path) == SqliteConfig(url=Secret(url)).path


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///:memory:", "in memory and lose them"),
        ("sqlite://", "in memory and lose them"),
        ("sqlite:///", "in memory and lose them"),
        ("sqlite://palaver.db", "too few slashes"),
        ("sqlite:palaver.db", "too few slashes"),
        ("palaver.db", "begins with sqlite:///"),
        ("postgresql://localhost/chat", "begins with sqlite:///"),
        ("sqlite:///folder/", "names no file"),
        ("sqlite:///a.db?mode=ro", "storage.options"),
    ],
)
def test_an_address_without_a_file_is_refused_with_a_way_out(url, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        _ = SqliteConfig(url=url).path
    assert str(refused.value).startswith("storage.url: ")
    assert "sqlite:///" in str(refused.value) or "storage.options" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"synchronous": "off"}, "synchronous: expected normal or full, got 'off'"),
        ({"readers": 0}, "readers: expected 1 or more, got 0"),
        ({"busy_timeout": -1}, "busy_timeout: expected 0 or more"),
        ({"queue": 0}, "queue: expected 1 or more"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        SqliteConfig(**options)


def test_the_hook_offers_one_storage_for_sqlite_addresses():
    (spec,) = palaver_storages()
    assert ("sqlite", ("sqlite",), SqliteConfig) == (spec.name, spec.schemes, spec.config)
    assert spec.migrations is not None
    assert spec.migrations(SqliteConfig(url="sqlite:////nowhere/at/all.db")).status()
