-- Sessions, their messages and attachments. Every key starts with the owner: two owners may use the same ids.
-- Times are RFC 3339 in UTC with microseconds, so that their text sorts like the moments they stand for.

CREATE TABLE chat_sessions (
    owner            TEXT    NOT NULL,
    id               TEXT    NOT NULL,
    title            TEXT    NOT NULL DEFAULT '',
    title_is_default INTEGER NOT NULL DEFAULT 1,
    created_at       TEXT    NOT NULL,
    updated_at       TEXT    NOT NULL,
    head_id          TEXT,
    last_seq         INTEGER NOT NULL DEFAULT 0,
    message_count    INTEGER NOT NULL DEFAULT 0,
    branched         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, id)
) WITHOUT ROWID;

CREATE INDEX chat_sessions_newest ON chat_sessions (owner, updated_at DESC, id);

-- content holds the parts as JSON; details holds, as JSON, what few messages have.
CREATE TABLE chat_messages (
    owner       TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    session_id  TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    parent_id   TEXT,
    role        TEXT    NOT NULL,
    content     TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    run_id      TEXT,
    approval_id TEXT,
    instance    TEXT,
    model       TEXT,
    details     TEXT,
    created_at  TEXT    NOT NULL,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, session_id) REFERENCES chat_sessions (owner, id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX chat_messages_order ON chat_messages (owner, session_id, seq);

CREATE TABLE chat_attachments (
    owner      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    session_id TEXT,
    message_id TEXT,
    filename   TEXT    NOT NULL,
    mime_type  TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    sha256     TEXT    NOT NULL,
    content    BLOB,
    created_at TEXT    NOT NULL,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, message_id) REFERENCES chat_messages (owner, id) ON DELETE CASCADE
);

CREATE INDEX chat_attachments_of_message ON chat_attachments (owner, message_id);
