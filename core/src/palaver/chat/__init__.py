"""Conversations: runs that outlive their watchers, the turn loop, history, titles, and the use cases over them."""

from palaver.chat.active import ActiveRun
from palaver.chat.host import Host
from palaver.chat.runs import Runs
from palaver.chat.sending import Send, Started
from palaver.chat.service import ChatService
from palaver.chat.turn import AnswerCalls, RoundAnswer, Step, Turn
from palaver.chat.watch import Watcher

__all__ = [
    "ActiveRun",
    "AnswerCalls",
    "ChatService",
    "Host",
    "RoundAnswer",
    "Runs",
    "Send",
    "Started",
    "Step",
    "Turn",
    "Watcher",
]
