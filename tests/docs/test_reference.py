"""The generated reference pages are what the code says now, and they leave nothing public out."""

import importlib.util
import re
from pathlib import Path

import attrs
import palaver
import palaver.errors
import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = load(ROOT / "docs" / "generate.py")
PAGES = {path.relative_to(ROOT).as_posix(): render for path, render in GENERATE.pages().items()}
API = (ROOT / "docs" / "reference" / "python-api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_what_the_code_says(page):
    assert PAGES[page]() == (ROOT / page).read_text(encoding="utf-8"), "run ./dev docs, and commit what it wrote"


def test_every_public_name_has_an_entry():
    headings = set(re.findall(r"^### (\w+)$", API, re.MULTILINE))
    assert set(palaver.__all__) - set(palaver.errors.__all__) == headings


def test_every_public_name_has_a_subject():
    assert "Further names" not in API, "give the new name a place in SECTIONS of docs/generate.py"


def test_every_field_of_public_data_is_listed():
    missing = []
    for name in palaver.__all__:
        cls = getattr(palaver, name)
        if isinstance(cls, type) and attrs.has(cls):
            entry = API.partition(f"### {name}\n")[2].partition("\n### ")[0]
            fields = [field.name for field in attrs.fields(cls) if not field.name.startswith("_")]
            missing += [f"{name}.{field}" for field in fields if f"| `{field}` |" not in entry]
    assert [] == missing


def test_every_error_has_a_row():
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:&nbsp;)*`(\w+)` \| `(\w+)` \| (\d+) \|", page, re.MULTILINE)
    assert {name: (getattr(palaver, name).code, getattr(palaver, name).status) for name in palaver.errors.__all__} == {
        name: (code, int(status)) for name, code, status in rows
    }


def test_every_route_is_described_and_nothing_else():
    from palaver_server import routes

    page = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    described = {
        (method, path.partition("?")[0])
        for row in re.findall(r"^\| (`[A-Z]+ /[^|]*) \|", page, re.MULTILINE)
        for method, path in re.findall(r"`([A-Z]+) (/[^`]*)`", row)
    }
    served = {(route.method, route.label or route.path) for route in routes.ROUTES}
    assert served | {("GET", "/metrics")} == described
