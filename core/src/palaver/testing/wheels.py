"""Makes and installs tiny wheels, for tests that need a plugin to be really installed. Touches the file system."""

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

__all__ = ["build_wheel", "install_wheel", "installed_in"]


def build_wheel(
    folder: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    entry_points: Mapping[str, str],
    requires: Iterable[str] = (),
    *,
    group: str = "palaver",
) -> Path:
    """Write a wheel as https://packaging.python.org/en/latest/specifications/binary-distribution-format/ has it.

    Args:
        folder: Where the file goes.
        modules: Path inside the wheel → text: ``{"palaver_acme/__init__.py": "..."}``.
        entry_points: Entry-point name → what it names, in *group*.
        requires: ``Requires-Dist`` lines: ``palaver-core>=0.1,<0.2``.
    """
    spelt = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}"
    info = f"{spelt}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    about = ["Wheel-Version: 1.0", "Generator: palaver", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    files = {**modules, f"{info}/METADATA": _lines(metadata), f"{info}/WHEEL": _lines(about)}
    if entry_points:
        points = [f"{point} = {value}" for point, value in entry_points.items()]
        files[f"{info}/entry_points.txt"] = _lines([f"[{group}]", *points])
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = _lines([*record, f"{info}/RECORD,,"])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{spelt}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            # A fixed time makes the same input the same file.
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


def install_wheel(wheel: Path, site: Path) -> None:
    """Unpack a pure wheel into the folder *site*, which is what an installer does with it, in a millisecond."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def installed_in(site: Path) -> list[Distribution]:
    """List the distributions of one folder, for ``assemble(distributions=...)``."""
    return list(distributions(path=[str(site)]))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
