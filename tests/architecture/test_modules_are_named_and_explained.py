"""A module has a noun for a name, a docstring that says what it is, and a size that one sitting can read."""

import ast

import pytest

BANNED_NAMES = {"utils", "util", "helpers", "helper", "base", "common", "misc", "tools_", "manager2", "lib"}
MOST_LINES = 420
# Longer for a reason: a list of plain data classes that are read by looking one up.
LONG_FOR_A_REASON = {
    "core/src/palaver/contracts/storage.py": "the twelve writes, their results and the reads: one page of the contract",
}


def violations(tree, module, text=""):
    """Tell what a reader of *module* would miss, or would have too much of."""
    problems = []
    if module.rpartition(".")[2].strip("_") in BANNED_NAMES:
        problems.append(f"1: a module named {module.rpartition('.')[2]} says nothing about what lives there")
    docstring = ast.get_docstring(tree, clean=False)
    if not docstring:
        problems.append("1: no docstring")
    elif not docstring.partition("\n")[0].strip():
        problems.append("1: the docstring begins with an empty line")
    if len(text.splitlines()) > MOST_LINES:
        problems.append(f"1: {len(text.splitlines())} lines, more than {MOST_LINES}")
    return problems


def test_every_module_is_named_explained_and_short(shipped):
    problems = []
    for source in shipped:
        text = "" if source.shown in LONG_FOR_A_REASON else source.text
        problems += [f"{source.shown}:{problem}" for problem in violations(source.tree, source.module, text)]
    assert [] == problems, "\n".join(problems)


def test_what_may_be_long_is_long(shipped):
    long = {source.shown for source in shipped if len(source.text.splitlines()) > MOST_LINES}
    assert set() == set(LONG_FOR_A_REASON) - long


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("palaver_acme.utils", '"""Says."""'),
        ("palaver_acme._helpers", '"""Says."""'),
        ("palaver_acme.codec", "import json"),
        ("palaver_acme.codec", '"""\n\nSays."""'),
        ("palaver_acme.codec", '"""Says."""\n' + "a = 1\n" * MOST_LINES),
    ],
)
def test_a_module_that_a_reader_would_stumble_over_is_found(module, code):
    assert 1 == len(violations(ast.parse(code), module, code))


def test_an_ordinary_module_is_allowed():
    code = '"""The wire form of requests."""\n\nimport json\n'
    assert [] == violations(ast.parse(code), "palaver_acme.codec", code)


def unexplained(tree):
    """Tell which public classes, functions and methods of a module have no docstring."""
    problems = []
    for node in tree.body:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and not node.name.startswith("_") and not ast.get_docstring(node):
            problems.append(f"{node.lineno}: {node.name} has no docstring")
    return problems


def test_every_public_class_and_function_says_what_it_is(shipped):
    problems = [
        f"{source.shown}:{problem}"
        for source in shipped
        if source.module.startswith("palaver.") or source.module == "palaver"
        for problem in unexplained(source.tree)
    ]
    assert [] == problems, "\n".join(problems)


def test_a_public_class_without_a_docstring_is_found():
    tree = ast.parse('class A:\n    x = 1\ndef _f(): pass\ndef g():\n    """Do."""\n')
    assert ["1: A has no docstring"] == unexplained(tree)
