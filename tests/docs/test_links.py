"""No link in our pages leads nowhere: the file exists, and so does the heading behind a #."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {"node_modules", "dist", "build"}
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)<>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)


def pages():
    return [
        path
        for path in sorted(ROOT.rglob("*.md"))
        if not any(part in SKIPPED or part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


def prose(text):
    """Leave out what is code: in fences and in backticks, brackets are not links."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)


def anchors(text):
    """Make the anchors of all headings, as GitHub does: lower case, no punctuation, doubled ones counted."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    found, seen = set(), {}
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def broken(path, text, root):
    """Tell which links of the page *text* at *path* lead nowhere."""
    problems = []
    for target in [*LINK.findall(prose(text)), *DEFINITION.findall(prose(text))]:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.is_relative_to(root):
            problems.append(f"{target} leads out of the repository")
        elif not file.exists():
            problems.append(f"{target} does not exist")
        elif anchor and file.suffix == ".md" and anchor not in anchors(text if file == path else file.read_text()):
            problems.append(f"{target}: {file.name} has no such heading")
    return problems


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_link_leads_nowhere(page):
    assert [] == broken(page, page.read_text(encoding="utf-8"), ROOT)


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# One\n\n## Two: `three`, and *four*\n\n## One\n")
    page = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#two-three-and-four) [c](other.md#one-1) [d](https://example.org) [e](#here)"
    bad = "[f](gone.md) [g](other.md#five) [h](#there) [i](../../out.md)"
    text = f"# Here\n\n{good}\n\n{bad}\n\n`[j](code.md)`\n\n```text\n[k](fence.md)\n```\n"
    page.write_text(text)
    problems = broken(page, text, tmp_path)
    assert ["gone.md", "other.md#five", "#there", "../../out.md"] == [
        problem.partition(" ")[0].rstrip(":") for problem in problems
    ]


def test_every_page_below_docs_can_be_reached_from_the_index():
    index = ROOT / "docs" / "README.md"
    waiting, seen = [index], set()
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists() and file.is_relative_to(ROOT / "docs") and file not in seen:
                waiting.append(file)
    lost = [path for path in pages() if path.is_relative_to(ROOT / "docs") and path not in seen]
    assert [] == [path.relative_to(ROOT).as_posix() for path in lost if "examples" not in path.parts]
