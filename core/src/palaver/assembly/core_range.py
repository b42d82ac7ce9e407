"""Does a plugin fit the installed core? Read from what its distribution requires of palaver-core, before its import."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

__all__ = ["CORE", "unfit"]

#: The distribution whose version is compared.
CORE = "palaver-core"

_ABOUT_CORE = re.compile(r"(?i)palaver[-_.]+core(?![-_.]*[a-z0-9])")
_PLAIN = re.compile(r"(?i)palaver[-_.]+core *\(?((?:(?:[<>]=?) *\d+(?:\.\d+)* *,? *)*)\)?")
_CLAUSE = re.compile(r"([<>]=?) *([\d.]+)")
_COMPARE: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)


def unfit(requirements: Iterable[str], core_version: str) -> str:
    """Tell why the installed core is not one that *requirements* (``Requires-Dist`` lines) allow.

    Empty when it is, or when *core_version* is unknown.
    """
    if not core_version:
        return ""
    for requirement in requirements:
        if _ABOUT_CORE.match(requirement) and not _allows(requirement, core_version):
            return f"built for another core: it requires {requirement}, installed is {CORE} {core_version}"
    return ""


def _allows(requirement: str, core_version: str) -> bool:
    plain = _PLAIN.fullmatch(requirement)
    # The usual >=0.1,<0.2 is decided here: importing `packaging` would cost every start a tenth of its time.
    if plain and re.fullmatch(r"\d+(\.\d+)*", core_version):
        installed = _numbers(core_version)
        return all(_COMPARE[sign](installed, _numbers(bound)) for sign, bound in _CLAUSE.findall(plain[1]))
    return _packaging_allows(requirement, core_version)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.strip(".").split(".")]
    while numbers and numbers[-1] == 0:  # 1.0 and 1 are the same version
        numbers.pop()
    return tuple(numbers)


def _packaging_allows(requirement: str, core_version: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(requirement)
    except InvalidRequirement:
        return False
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return True
    return parsed.specifier.contains(core_version, prereleases=True)
