"""The use cases of sessions: make, list, read, name, clear. A foreign id looks exactly like an unknown one."""

from palaver.chat.checks import check_session_id, check_title, is_session_id
from palaver.chat.host import Host
from palaver.chat.titles import NEW_SESSION
from palaver.contracts.storage import Busy, ClearSession, CreateSession, Missing, RenameSession
from palaver.domain import Page, Principal, Session, StoredMessage
from palaver.errors import Conflict, NotFound, SessionBusy
from palaver.ids import SessionId

__all__ = ["Sessions", "busy", "known_form", "no_session"]


class Sessions:
    """What can be done with sessions while nothing needs to know of runs."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def create_session(
        self, principal: Principal, title: str | None = None, session_id: str | None = None
    ) -> Session:
        """Make a session; without a title it is a new chat that the model may name.

        Raises:
            InvalidRequest: the title or the id is no good.
            Conflict: the caller has a session with this id.
        """
        named = bool(title and title.strip())
        op = CreateSession(
            principal.owner,
            check_session_id(session_id) if session_id else SessionId(self._host.new_id()),
            check_title(title or "", limit=self._host.config.limits.title) if named else NEW_SESSION,
            title_is_default=not named,
        )
        made = await self._host.storage.write(op)
        if session_id and not made.created:
            raise Conflict(f"session {session_id!r} exists already", param="session_id")
        session: Session = made.session
        return session

    async def list_sessions(
        self,
        principal: Principal,
        *,
        limit: int,
        offset: int = 0,
        after: str | None = None,
        count: bool = False,
    ) -> Page[Session]:
        """List the caller's sessions, newest change first."""
        cursor = SessionId(after) if after is not None else None
        return await self._host.storage.list_sessions(
            principal.owner, limit=limit, offset=offset, after=cursor, count=count
        )

    async def get_session(self, principal: Principal, session_id: str) -> Session:
        """Read one session.

        Raises:
            NotFound: unknown or foreign.
        """
        session = await self._host.storage.get_session(principal.owner, known_form(session_id))
        if session is None:
            raise no_session()
        return session

    async def rename_session(self, principal: Principal, session_id: str, title: str) -> None:
        """Name a session; from now on the model does not.

        Raises:
            InvalidRequest: the title is no good.
            NotFound: unknown or foreign.
        """
        title = check_title(title, limit=self._host.config.limits.title)
        op = RenameSession(principal.owner, known_form(session_id), title)
        if isinstance(await self._host.storage.write(op), Missing):
            raise no_session()

    async def clear_session(self, principal: Principal, session_id: str) -> None:
        """Delete a session's messages and keep the session.

        Raises:
            NotFound: unknown or foreign.
            SessionBusy: an answer is being generated.
        """
        answer = await self._host.storage.write(ClearSession(principal.owner, known_form(session_id)))
        if isinstance(answer, Missing):
            raise no_session()
        if isinstance(answer, Busy):
            raise busy(answer)

    async def list_messages(
        self, principal: Principal, session_id: str, *, limit: int, offset: int = 0
    ) -> Page[StoredMessage]:
        """List the messages of a session's active branch, oldest first, with their total.

        Raises:
            NotFound: unknown or foreign.
        """
        page = await self._host.storage.list_messages(
            principal.owner, known_form(session_id), limit=limit, offset=offset
        )
        if page is None:
            raise no_session()
        return page


def known_form(session_id: str) -> SessionId:
    """Give *session_id* for a look-up.

    Raises:
        NotFound: it cannot be an id, and so is as unknown as any other.
    """
    if not is_session_id(session_id):
        raise no_session()
    return SessionId(session_id)


def no_session() -> NotFound:
    """Say that there is no such session."""
    return NotFound("Session not found", param="session_id")


def busy(by: Busy) -> SessionBusy:
    """Say that an answer is being generated, and which."""
    return SessionBusy("an answer is being generated in this session: watch it, stop it, or wait", run_id=by.run_id)
