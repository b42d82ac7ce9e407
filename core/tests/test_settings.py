"""Secrets never show, and a configuration class tells what it needs."""

import copy
import io
import json
import logging
import pickle
import traceback

import attrs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from palaver import Secret, setting
from palaver.codec import Codec
from palaver.settings import SettingInfo, describe, missing

CANARY = "sk-canary-0123456789"


@attrs.frozen
class AcmeConfig:
    api_key: Secret = setting(env=("ACME_API_KEY", "ACME_KEY"), help="your key")
    base_url: str = setting(default="https://api.acme.example", env="ACME_BASE_URL")
    backup_key: Secret | None = setting(default=None)
    more_keys: tuple[Secret, ...] = setting(factory=tuple)
    region: str = setting()
    plain: int = 3


def config(**changes):
    return AcmeConfig(**{"api_key": Secret(CANARY), "region": "eu", **changes})


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        format,
        lambda value: f"{value}",
        lambda value: f"{value!r:>40}",
        lambda value: "%s %r" % (value, value),  # noqa: UP031
        lambda value: repr({"key": [value]}),
    ],
)
@pytest.mark.parametrize("holder", [Secret(CANARY), config(), config(more_keys=(Secret(CANARY),))])
def test_a_secret_never_shows_in_text(show, holder):
    shown = show(holder)
    assert CANARY not in shown
    assert "***" in shown


@settings(deadline=None)
@given(st.text(min_size=6).filter(lambda text: text not in "Secret('***')"))
def test_no_secret_shows_whatever_it_is(value):
    secret = Secret(value)
    assert value not in f"{secret} {secret!r} {secret:^20}"
    assert value == secret.reveal()


def test_a_secret_shows_in_no_traceback_and_no_log():
    log = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(log))
    try:
        raise ValueError("wrong key", Secret(CANARY), config())
    except ValueError as error:
        logger.exception("cannot open %s with %r", config(), Secret(CANARY))
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert CANARY not in shown + log.getvalue()
    assert "***" in shown
    assert "***" in log.getvalue()


def test_a_secret_is_not_pickled():
    with pytest.raises(TypeError, match="a Secret is not pickled"):
        pickle.dumps(config())


@pytest.mark.parametrize("write", [json.dumps, orjson.dumps, Codec().dumps])
def test_a_secret_is_not_written_as_json(write):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write({"key": Secret(CANARY)})


def test_a_secret_survives_the_copy_of_its_configuration():
    assert config() == copy.deepcopy(config()) == copy.copy(config()) == attrs.evolve(config())


def test_secrets_compare_by_value_and_empty_ones_are_false():
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert 1 == len({Secret("a"), Secret("a")})
    assert [False, True] == [bool(Secret("")), bool(Secret("a"))]


def test_a_configuration_class_describes_itself():
    assert (
        SettingInfo("api_key", ("ACME_API_KEY", "ACME_KEY"), "your key", secret=True, required=True, default=None),
        SettingInfo("base_url", ("ACME_BASE_URL",), "", False, False, "https://api.acme.example"),
    ) == describe(AcmeConfig)[:2]
    assert {"api_key": True, "base_url": False, "backup_key": True, "more_keys": True, "region": False} == {
        info.name: info.secret for info in describe(AcmeConfig) if info.name != "plain"
    }


class SecretAgent:
    """Not a secret, for all its name."""


def test_only_the_secret_class_makes_a_field_secret():
    @attrs.frozen
    class Config:
        agent: SecretAgent | None = setting(default=None)

    assert [False] == [info.secret for info in describe(Config)]


@pytest.mark.parametrize(
    ("given_", "environment", "names"),
    [
        ({}, {}, ["api_key", "region"]),
        ({"api_key": "x"}, {}, ["region"]),
        ({"region": "eu"}, {"ACME_KEY": "x"}, []),
        ({"region": "", "api_key": ""}, {"ACME_API_KEY": ""}, ["api_key", "region"]),
    ],
)
def test_what_is_missing_is_told(given_, environment, names):
    assert names == [info.name for info in missing(AcmeConfig, given_, environment)]
