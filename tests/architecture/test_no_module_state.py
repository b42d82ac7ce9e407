"""No module holds state, and importing one does no work: two servers in a process must not meet in a global.

A table (a filled mapping in capitals that nobody writes to), an instance of a frozen class, a logger or a compiled
pattern is a constant; anything else that can change, or that nobody here knows, is state.
"""

import ast
import re

import pytest

#: What a module may make while it is imported, beside instances of frozen classes of ours.
CONSTANT_MAKERS = {
    # typing
    "TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "cast", "NamedTuple", "namedtuple",
    # values that do not change
    "frozenset", "tuple", "MappingProxyType", "fromkeys", "compile", "Decimal", "timedelta", "datetime", "Path",
    "range", "len", "max", "min", "sum", "int", "float", "str", "bytes", "Struct", "ip_network", "ip_address", "UUID",
    "itemgetter", "attrgetter", "partial",
    # a text that compares without regard to case, for names of headers
    "istr",
    # names of the house: loggers, markers, typed keys
    "getLogger", "get_logger", "HookspecMarker", "HookimplMarker", "AppKey", "RequestKey", "ResponseKey",
    # what attrs knows of a class (a tuple), and how its fields are declared; the address of a resource
    "field", "fields", "Factory", "files",
    # a mapping or a list that is a table when its name is in capitals
    "dict", "list", "set", "sorted",
}  # fmt: skip
CONTAINER_MAKERS = {"dict", "list", "set", "sorted"}
MUTATORS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault",
    "update",
}  # fmt: skip
WRITABLE = {"dict", "list", "set", "Dict", "List", "Set", "MutableMapping", "MutableSequence", "MutableSet"}
CONSTANT_RESULTS = {"str", "bytes", "int", "float", "bool", "tuple", "frozenset", "Pattern", "Callable"}
FROZEN = re.compile(r"(attrs\.)?frozen\b|(attrs?\.)?define\(.*frozen=True|(dataclasses\.)?dataclass\(.*frozen=True")
FIXED_BASES = {"NamedTuple", "Enum", "StrEnum", "IntEnum"}
# What has to happen before anything else is imported.
WORK_ALLOWED = {"pytest.register_assert_rewrite"}
CAPITALS = re.compile(r"_*[A-Z][A-Z0-9_]*\Z")
# Read by Python or by a tool under exactly this name.
SPECIAL = {"__all__", "__version__", "__slots__", "__match_args__", "pytest_plugins", "collect_ignore"}


def violations(tree, safe=frozenset()):
    """Tell what of a module is state, or work at import. *safe* names what gives only what cannot change."""
    frozen = safe | frozen_classes(tree) | constant_functions(tree)
    problems = []
    for node in _statements(tree.body):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if not _allowed_work(node):
                problems.append(f"{node.lineno}: work at import: {ast.unparse(node.value)[:60]}")
        elif isinstance(node, ast.For) and all(_allowed_work(inner) for inner in node.body):
            continue
        elif isinstance(node, ast.For | ast.While | ast.With | ast.AugAssign):
            problems.append(f"{node.lineno}: work at import: {type(node).__name__.lower()}")
        elif isinstance(node, ast.ClassDef):
            problems += _in_class(node)
        else:
            problems += _assigned(node, frozen)
    problems += [
        f"{node.lineno}: global {', '.join(node.names)}" for node in ast.walk(tree) if isinstance(node, ast.Global)
    ]
    return problems + _writes(tree)


def _allowed_work(node):
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return called and ast.unparse(node.value.func) in WORK_ALLOWED


def _statements(body):
    """Yield the statements that run at import, those below an `if` or `try` too."""
    for node in body:
        if isinstance(node, ast.If):
            if ast.unparse(node.test) == "__name__ == '__main__'":
                continue
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _statements([*node.body, *handlers, *node.orelse, *node.finalbody])
        else:
            yield node


def _assigned(node, frozen):
    if isinstance(node, ast.Assign):
        targets, annotation = node.targets, None
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets, annotation = [node.target], node.annotation
    else:
        return []
    if any(isinstance(target, ast.Subscript | ast.Attribute) for target in targets):
        return [f"{node.lineno}: work at import: {ast.unparse(node)[:60]}"]
    if any(isinstance(target, ast.Name) and target.id in SPECIAL for target in targets):
        return []
    shown = ", ".join(ast.unparse(target) for target in targets)
    in_capitals = all(isinstance(target, ast.Name) and CAPITALS.match(target.id) for target in targets)
    if _container(node.value):
        if not in_capitals:
            return [f"{node.lineno}: {shown} can change: name a table in capitals, or give it an owner"]
        if _empty(node.value) and _writable(annotation):
            return [f"{node.lineno}: {shown} is empty: a store that waits to be filled is state"]
    unknown = _unknown(node.value, frozen)
    return [f"{node.lineno}: {shown} is made by {unknown}, which may give something that changes"] if unknown else []


def _in_class(node):
    problems = []
    for item in node.body:
        value = getattr(item, "value", None)
        if not isinstance(item, ast.Assign | ast.AnnAssign) or value is None or not _container(value):
            continue
        target = item.targets[0] if isinstance(item, ast.Assign) else item.target
        constant = isinstance(target, ast.Name) and (target.id in SPECIAL or CAPITALS.match(target.id))
        if not constant and _writable(getattr(item, "annotation", None)):
            problems.append(f"{item.lineno}: {node.name}.{ast.unparse(target)} is shared by every instance")
    return problems


def _container(value):
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return True
    return isinstance(value, ast.Call) and _maker(value) in CONTAINER_MAKERS


def _empty(value):
    if isinstance(value, ast.Call):
        return not value.args and not value.keywords
    return not (getattr(value, "keys", None) or getattr(value, "elts", None) or getattr(value, "generators", None))


def _writable(annotation):
    """Whether a type checker would let somebody write to it; without an annotation it would."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith(("ClassVar", "Final")):
        annotation = annotation.slice
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return annotation is None or ast.unparse(annotation).rpartition(".")[2] in WRITABLE


def _unknown(value, frozen):
    """Name the first call in *value* that may give something that changes; calls inside a lambda come later."""
    later = {inner for part in ast.walk(value) if isinstance(part, ast.Lambda) for inner in ast.walk(part)}
    for part in ast.walk(value):
        if isinstance(part, ast.Await | ast.Yield | ast.NamedExpr):
            return type(part).__name__.lower()
        if isinstance(part, ast.Call) and part not in later and not _known(part, frozen):
            return ast.unparse(part.func)
    return None


def _known(call, frozen):
    if _maker(call) in CONSTANT_MAKERS or _maker(call) in frozen:
        return True
    # A method of a text or of another constant: `"a b".split()`, `TEMPLATE.format(...)`, `NAMES.split().index("a")`.
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(owner, ast.Call):
        return _known(owner, frozen)
    return isinstance(owner, ast.Constant | ast.JoinedStr) or (
        isinstance(owner, ast.Name) and bool(CAPITALS.match(owner.id)) and call.func.attr not in MUTATORS
    )


def _maker(value):
    """Name what is called: ``re.compile(...)`` is ``compile``, ``Spec[int](...)`` is ``Spec``."""
    if not isinstance(value, ast.Call):
        return type(value).__name__
    func = value.func
    while isinstance(func, ast.Subscript):
        func = func.value
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", ast.unparse(func))


def _writes(tree):
    """Find code that writes to a table of its own module."""
    tables = {
        target.id
        for node in _statements(tree.body)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _container(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id not in SPECIAL
    }
    problems = []
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            name = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            name = node.func.value
        if isinstance(name, ast.Name) and name.id in tables:
            problems.append(f"{node.lineno}: {name.id} is written to")
    return problems


def frozen_classes(tree):
    """Name the classes of a module whose instances cannot change: frozen attrs, enums, named tuples, exceptions."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        marks = [ast.unparse(decorator) for decorator in node.decorator_list]
        bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
        frozen = any(FROZEN.match(mark) for mark in marks) or FIXED_BASES & set(bases) or node.name == "Secret"
        if frozen or (not bases and all(_without_state(item) for item in node.body)):
            found.add(node.name)
    return found


def _without_state(item):
    """Whether a class with only such items has nothing that could change: a sentinel, a set of methods."""
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
        return item.name != "__init__" and not any(
            isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) for part in ast.walk(item)
        )
    return isinstance(item, ast.Expr | ast.Pass)


def new_types(tree):
    """Name the types of a module that are a string or number under another name."""
    return {
        ast.literal_eval(node.value.args[0])
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "NewType"
        and ast.unparse(node.value.args[1]) in {"str", "int"}
    }


def constant_functions(tree):
    """Name the functions of a module that say they return something that does not change."""
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.returns is not None
        and ast.unparse(node.returns).partition("[")[0].strip("\"'").rpartition(".")[2] in CONSTANT_RESULTS
    }


def test_no_module_holds_state_or_works_at_import(shipped):
    found = (
        frozen_classes(source.tree) | new_types(source.tree) | constant_functions(source.tree) for source in shipped
    )
    safe = frozenset(name for names in found for name in names)
    problems = [f"{source.shown}:{problem}" for source in shipped for problem in violations(source.tree, safe)]
    assert [] == problems, "\n".join(problems)


@pytest.mark.parametrize(
    "code",
    [
        "cache = {}",
        "_cache: dict = {}",
        "CACHE = {}",
        "_seen = set()",
        "things = [1, 2]",
        "SEEN: MutableMapping[str, int] = {}",
        "SEEN: dict[str, int] = {}",
        "TABLE = {'a': 1}\ndef f(key):\n    TABLE[key] = 2",
        "NAMES = ['a']\ndef f(name):\n    NAMES.append(name)",
        "manager = PluginManager('palaver')",
        "LOCK = asyncio.Lock()",
        "SESSION = aiohttp.ClientSession()",
        "LAST = [Runtime()]",
        "from collections import deque\nRECENT = deque()",
        "count = 0\ndef f():\n    global count\n    count += 1",
        "if True:\n    cache = {}",
        "try:\n    import x\nexcept ImportError:\n    fallback = []",
        "class A:\n    seen = {}",
        "class A:\n    seen: ClassVar[dict[str, int]] = {}",
        "class A:\n    def __init__(self):\n        self.x = 1\nA_ONE = A()",
        "class A:\n    def set(self):\n        self.x = 1\nA_ONE = A()",
        "def made() -> dict[str, int]:\n    return {}\nTABLE = made()",
        "register('acme')",
        "for name in NAMES:\n    pass",
        "os.environ['A'] = 'b'",
    ],
)
def test_state_is_found(code):
    assert 1 == len(violations(ast.parse(code))), code


@pytest.mark.parametrize(
    "code",
    [
        "__all__ = ['a']",
        "TABLE = {'a': 1, 'b': {'c': 2}}",
        "EMPTY: Mapping[str, str] = {}",
        "_WORDS = frozenset({'a'})",
        "logger = logging.getLogger('palaver')",
        "T = TypeVar('T')\nOwner = NewType('Owner', str)",
        "pattern = re.compile('a')",
        "LIMIT = 5 * 1024",
        "hookimpl = pluggy.HookimplMarker('palaver')",
        "@attrs.frozen\nclass Row:\n    a: int\nROWS = (Row(1), Row(2))",
        "class A:\n    __slots__ = ('a',)\n    names: ClassVar[tuple[str, ...]] = ('a',)",
        "def f():\n    cache = {}\n    cache['a'] = 1",
        "if __name__ == '__main__':\n    main()",
        "if TYPE_CHECKING:\n    from a import b",
        "Open: TypeAlias = Callable[[Any], int]",
        "SORTS = {'a': lambda x: g(x)}",
        "class A:\n    skips: ClassVar[Mapping[str, str]] = {}",
        "class Stall:\n    def __repr__(self):\n        return 'STALL'\nSTALL = Stall()",
        "def marks(n: int) -> str:\n    return n * '?'\nSQL = marks(3)",
        "COLUMNS = 'a b'\nA = COLUMNS.split().index('a')",
        "for name in ('a', 'b'):\n    pytest.register_assert_rewrite(name)",
    ],
)
def test_a_constant_is_allowed(code):
    assert [] == violations(ast.parse(code))
