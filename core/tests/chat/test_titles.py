"""Titles: the contract's rules as a table, asked for once, never in the way of an answer."""

from datetime import UTC, datetime

import pytest
from palaver import ImagePart, Overloaded, Purpose
from palaver.chat.titles import clean_title, default_title, question_title
from palaver.contracts.storage import RenameSession
from palaver.testing.clock import settle

QUESTION = "how do I read a large file line by line in Python?"


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Reading large files", "Reading large files"),
        ('  "Reading large files"\n', "Reading large files"),
        ("“Große Dateien lesen”", "Große Dateien lesen"),
        ("Reading\nlarge\tfiles", "Reading large files"),
        ("x" * 50, "x" * 50),
        ("x" * 51, "x" * 47 + "..."),
        ("abcde", "abcde"),
        ("abcd", "how do I read a large"),
        ("", "how do I read a large"),
        ("Untitled", "how do I read a large"),
        ('"UNTITLED"', "how do I read a large"),
        ("bell\x07 sound", "bell sound"),
    ],
)
def test_a_title_of_the_models_answer(answer, title):
    assert title == clean_title(answer, QUESTION)


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("hi", "hi"),
        ("one two three four five six seven", "one two three four five six"),
        ("Donaudampfschifffahrtsgesellschaft Donaudampfschiff", "Donaudampfschifffahrtsgesellschaft Donau"),
        ("  spread \n over\tlines ", "spread over lines"),
        ("", ""),
    ],
)
def test_a_title_of_the_question(question, title):
    assert title == question_title(question)


@pytest.mark.parametrize(
    ("now", "title"),
    [
        (datetime(2006, 1, 2, 15, 4, tzinfo=UTC), "Chat - Jan 2, 2006 at 3:04 PM"),
        (datetime(2026, 12, 31, 0, 0, tzinfo=UTC), "Chat - Dec 31, 2026 at 12:00 AM"),
        (datetime(2026, 12, 31, 12, 30, tzinfo=UTC), "Chat - Dec 31, 2026 at 12:30 PM"),
    ],
)
def test_the_default_title_is_dated(now, title):
    assert title == default_title(now)


async def title_after(chat, question=QUESTION):
    await chat.answer(question, "like this")
    await settle()
    session = await chat.service.get_session(chat.ann, "s1")
    return session.title, session.title_is_default


async def test_the_first_answer_names_the_session_once(chat_kit):
    async with chat_kit.open(titles=True) as chat:
        assert ("A fine title", False) == await title_after(chat)
        (request,) = [request for request in chat.vendor.requests if request.metadata]
        assert {"palaver.purpose": "title"} == dict(request.metadata)
        assert QUESTION in request.messages[-1].text
        assert () == request.tools
        chat.vendor.title = "Another title"
        assert ("A fine title", False) == await title_after(chat, "and then?")
        assert [Purpose.CHAT, Purpose.TITLE, Purpose.CHAT] == [row.purpose for row in chat.storage.usage_rows("ann")]


async def test_a_name_given_by_a_person_stays(chat_kit):
    async with chat_kit.open(titles=True) as chat:
        await chat.service.create_session(chat.ann, "Mine", session_id="s1")
        assert ("Mine", False) == await title_after(chat)
        assert 1 == len(chat.vendor.requests)


async def test_a_name_given_while_the_model_thinks_stays(chat_kit):
    async with chat_kit.open(titles=True) as chat:
        write = chat.storage.write

        async def late_write(op):
            if isinstance(op, RenameSession) and op.only_default:
                await chat.service.rename_session(chat.ann, "s1", "Mine")
            return await write(op)

        chat.storage.write = late_write
        assert ("Mine", False) == await title_after(chat)


async def test_a_model_without_a_title_leaves_the_questions_words(chat_kit):
    async with chat_kit.open(titles=True) as chat:
        chat.vendor.title = Overloaded("not now")
        assert ("how do I read a large", False) == await title_after(chat)


async def test_a_failed_answer_names_nothing(chat_kit):
    async with chat_kit.open(titles=True) as chat:
        chat.vendor.fail(Overloaded("no"))
        started = await chat.send()
        await chat.service.result(chat.ann, started)
        await settle()
        assert (await chat.service.get_session(chat.ann, "s1")).title_is_default
        assert 1 == len(chat.vendor.requests)


async def test_a_message_without_words_asks_for_no_title(chat_kit):
    async with chat_kit.open(titles=True) as chat:
        chat.vendor.say("a cat")
        chat.vendor.finish()
        started = await chat.send("", parts=(ImagePart(data=b"png", mime_type="image/png"),))
        await chat.service.result(chat.ann, started)
        await settle()
        assert 1 == len(chat.vendor.requests)


async def test_titles_can_be_switched_off(chat):
    assert ("Chat - Jan 1, 2026 at 12:00 AM", True) == await title_after(chat)
