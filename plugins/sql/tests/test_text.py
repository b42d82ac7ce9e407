"""What enters a database is text that every database can hold."""

import json

import orjson
import pytest
from palaver_sql.program import run
from palaver_sql.text import clean, write_json


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("é\U0001f600", "é\U0001f600"),
        ("a\0b", "a\ufffdb"),
        ("\ud800é\udfff", "\ufffdé\ufffd"),
        ("", ""),
    ],
)
def test_what_cannot_be_stored_is_replaced(given, expected):
    assert expected == clean(given)


def test_good_json_is_left_alone():
    data = {"text": "é", "backslash": "\\u0000", "n": [1, 2.5, None, True]}
    text, replaced = write_json(data)
    assert data == json.loads(text)
    assert not replaced


def test_bad_text_is_replaced_wherever_it_is():
    text, replaced = write_json({"a\0": ["\ud800", {"b": "c\0"}]})
    assert {"a\ufffd": ["\ufffd", {"b": "c\ufffd"}]} == json.loads(text)
    assert replaced


def test_numbers_that_vendors_send_and_orjson_refuses_are_written():
    text, replaced = write_json({"big": 2**70, "nan": float("nan"), "bad": "\ud800"})
    assert {"big": 2**70, "nan": None, "bad": "\ufffd"} == json.loads(text)
    orjson.loads(text)
    assert replaced


def test_a_program_is_sent_its_rows_and_its_parameters_are_clean():
    seen = []

    def execute(sql, parameters):
        seen.append((sql, parameters))
        return [(len(seen),)]

    def program():
        rows = yield "one", ("a\0", 1, b"\0", None)
        rows = yield "two", (rows[0][0],)
        return rows[0][0]

    assert 2 == run(execute, program())
    assert [("one", ("a\ufffd", 1, b"\0", None)), ("two", (1,))] == seen


def test_a_program_is_closed_when_a_statement_fails():
    closed = []

    def program():
        try:
            yield "one", ()
        finally:
            closed.append(True)

    def execute(sql, parameters):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(execute, program())
    assert [True] == closed
