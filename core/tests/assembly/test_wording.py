import pytest
from palaver.assembly.wording import Wording

SECRETS = {"ACME_API_KEY": "sk-0123456789", "DB_PASSWORD": "short", "HOME": "/home/someone"}


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "it called sys.exit(3)"),
        (SystemExit(), "it called sys.exit(None)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("two\nlines\x1b[31m red\x07"), "ValueError: two lines [31m red"),
        (SyntaxError("what", ("acme.py", 7, 1, "x =", 7, 2)), "SyntaxError: what (line 7 of acme.py)"),
        (ExceptionGroup("both", [ValueError("a")]), "ExceptionGroup: both (1 sub-exception)"),
    ],
    ids=repr,
)
def test_an_error_is_one_line(error, line):
    assert line == Wording({}).line(error)
    assert f"at import: {line}" == Wording({}).line(error, "at import: ")


def test_a_long_line_is_cut():
    line = Wording({}).line(ValueError("x" * 1_000_000))
    assert (300, "…") == (len(line), line[-1])


def test_values_of_secret_variables_and_passwords_in_urls_are_masked():
    wording = Wording(SECRETS)
    error = raised(ValueError("sk-0123456789 at postgresql://me:hidden@db/x, short, /home/someone"))
    masked = "ValueError: *** at postgresql://me:***@db/x, short, /home/someone"
    assert masked == wording.line(error)
    assert masked in wording.traceback(error)
    assert "sk-0123456789" not in repr(wording)


def test_a_secret_is_masked_before_the_line_is_cut():
    line = Wording(SECRETS).line(ValueError("x" * 280 + SECRETS["ACME_API_KEY"]))
    assert "sk-" not in line


def test_an_error_that_cannot_be_printed_is_still_told():
    class Rude(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert "Rude: <exception str() failed>" in Wording({}).line(Rude())


def test_a_traceback_has_causes_and_is_capped():
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("o" * 50_000) from inner
    except ValueError as error:
        text = Wording({}).traceback(error)
    assert "KeyError: 'inner'" in text
    assert 21_000 > len(text)


def test_each_key_of_a_list_is_masked():
    wording = Wording({"AICHAT_API_KEYS": "ann=0123456789abcdef==, fedcba9876543210"})
    assert "ValueError: *** and *** of ann" == wording.line(
        ValueError("0123456789abcdef== and fedcba9876543210 of ann")
    )
