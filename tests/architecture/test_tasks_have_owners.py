"""Every task has an owner that waits for it: a bare one may be collected half-way, and its error is lost."""

import ast

import pytest

BARE = {"create_task", "ensure_future"}
#: Callees that start something and hand it back; dropping the result drops the task.
STARTERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


def violations(tree):
    """Tell where a task is started that nobody owns."""
    named = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio"
        for alias in node.names
        if alias.name in BARE
    }
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "asyncio"
    }
    groups = _task_groups(tree)
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            func = node.func
            if isinstance(func, ast.Name) and func.id in named:
                problems.append(f"{node.lineno}: bare {func.id}")
            elif isinstance(func, ast.Attribute) and func.attr in BARE and ast.unparse(func.value) in modules:
                problems.append(f"{node.lineno}: bare asyncio.{func.attr}")
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr in STARTERS:
                owner = ast.unparse(func.value)
                if owner not in groups and owner not in modules:
                    problems.append(f"{node.lineno}: the task of {owner}.{func.attr} is dropped")
    return problems


def _task_groups(tree):
    """Name what is a task group here: by `async with asyncio.TaskGroup() as x`, by assignment or by annotation."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and node.optional_vars is not None:
            if ast.unparse(node.context_expr).endswith("TaskGroup()"):
                found.add(ast.unparse(node.optional_vars))
        elif isinstance(node, ast.Assign) and "TaskGroup()" in ast.unparse(node.value):
            found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.AnnAssign) and "TaskGroup" in ast.unparse(node.annotation):
            found.add(ast.unparse(node.target))
        elif isinstance(node, ast.arg) and node.annotation is not None and "TaskGroup" in ast.unparse(node.annotation):
            found.add(node.arg)
    return found


def test_every_task_has_an_owner(shipped):
    assert [] == [f"{source.shown}:{problem}" for source in shipped for problem in violations(source.tree)]


@pytest.mark.parametrize(
    "code",
    [
        "import asyncio\nasyncio.create_task(f())",
        "import asyncio\ntask = asyncio.create_task(f())",
        "import asyncio as aio\naio.ensure_future(f())",
        "from asyncio import create_task as start\nstart(f())",
        "loop.create_task(f())",
    ],
)
def test_a_task_without_an_owner_is_found(code):
    assert 1 == len(violations(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "async with asyncio.TaskGroup() as calls:\n    calls.create_task(f())",
        "def f(self):\n    self._group = asyncio.TaskGroup()\n    self._group.create_task(g())",
        "self._owner = loop.create_task(f())",
        "def f(group: asyncio.TaskGroup):\n    group.create_task(g())",
    ],
)
def test_a_task_with_an_owner_is_allowed(code):
    assert [] == violations(ast.parse("async def outer():\n    " + code.replace("\n", "\n    ")))
