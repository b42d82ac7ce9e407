"""The pages for operators are what the code says: settings, variables, commands and flags."""

import importlib.util
from pathlib import Path

import click
import pytest
from palaver.config.names import NAMES, known_variables
from palaver.config.reading import fields_of
from palaver.config.schema import Config
from palaver_server.cli.group import COMMANDS, palaver

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
COMMAND_LINE = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")


def generator():
    spec = importlib.util.spec_from_file_location("generate_configuration", ROOT / "docs" / "generate_configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(command=palaver, words=("palaver",)):
    yield words, command
    for name in command.list_commands(None) if isinstance(command, click.Group) else ():
        yield from commands(command.get_command(click.Context(palaver), name), (*words, name))


def test_the_configuration_page_is_what_the_code_says():
    assert generator().render() == CONFIGURATION, "run python docs/generate_configuration.py, and commit what it wrote"


def test_every_setting_explains_itself():
    undocumented = []
    for section, field in fields_of(Config).items():
        if hasattr(field.type, "__attrs_attrs__"):
            comments = generator().comments_of(field.type)
            undocumented += [f"{section}.{name}" for name in fields_of(field.type) if not comments.get(name)]
    assert [] == undocumented


def test_every_variable_has_its_place():
    assert [] == [variable for variable in known_variables() if f"`{variable}" not in CONFIGURATION]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_heading(name):
    assert f"\n## palaver {name}\n" in COMMAND_LINE


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_flag_is_described(words, command):
    section = COMMAND_LINE.partition(f"\n## {' '.join(words[:2])}\n")[2].partition("\n## ")[0]
    common = COMMAND_LINE.partition("\n## ")[0]
    if len(words) > 2:
        assert f"`{' '.join(words)}`" in section
    for option in command.params if len(words) > 1 else ():
        for flag in option.opts if isinstance(option, click.Option) else ():
            # A flag may be followed by its value.
            assert any(f"`{flag}{end}" in section + common for end in ("`", " ")), f"{' '.join(words)} {flag}"


def test_every_flag_of_the_table_belongs_to_serve():
    flags = {flag for option in palaver.get_command(click.Context(palaver), "serve").params for flag in option.opts}
    assert {name.flag for name in NAMES if name.flag} <= flags
