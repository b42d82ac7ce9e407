-- Runs with their log, the approvals they ask for, the tool calls they claim; and usage, which outlives all of them.
-- depends: palaver-0001-conversations

CREATE TABLE chat_runs (
    owner           TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    session_id      TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    user_message_id TEXT,
    message_id      TEXT,
    model           TEXT,
    last_seq        INTEGER NOT NULL DEFAULT 0,
    error           TEXT,
    server_id       TEXT    NOT NULL,
    lease_until     TEXT    NOT NULL,
    needs_fold      INTEGER NOT NULL DEFAULT 0,
    idempotency_key TEXT,
    body_hash       TEXT,
    created_at      TEXT    NOT NULL,
    ended_at        TEXT,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, session_id) REFERENCES chat_sessions (owner, id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX chat_runs_of_session ON chat_runs (owner, session_id);

CREATE UNIQUE INDEX chat_runs_active ON chat_runs (owner, session_id) WHERE status = 'running';

CREATE UNIQUE INDEX chat_runs_idempotency ON chat_runs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE INDEX chat_runs_unswept ON chat_runs (lease_until) WHERE status = 'running' OR needs_fold = 1;

-- One row is one flush: encoded events with the numbers first_seq to last_seq.
CREATE TABLE chat_run_events (
    owner     TEXT    NOT NULL,
    run_id    TEXT    NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    data      BLOB    NOT NULL,
    PRIMARY KEY (owner, run_id, first_seq),
    FOREIGN KEY (owner, run_id) REFERENCES chat_runs (owner, id) ON DELETE CASCADE
);

CREATE TABLE chat_approvals (
    owner        TEXT NOT NULL,
    id           TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    run_id       TEXT NOT NULL,
    calls        TEXT NOT NULL,
    state        TEXT NOT NULL,
    approved_ids TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    decided_at   TEXT,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, run_id) REFERENCES chat_runs (owner, id) ON DELETE CASCADE
);

CREATE INDEX chat_approvals_of_run ON chat_approvals (owner, run_id);

CREATE INDEX chat_approvals_pending ON chat_approvals (owner, created_at) WHERE state = 'pending';

CREATE TABLE chat_tool_calls (
    owner      TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    call_id    TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    result     TEXT,
    is_error   INTEGER NOT NULL DEFAULT 0,
    claimed_at TEXT    NOT NULL,
    settled_at TEXT,
    PRIMARY KEY (owner, run_id, call_id),
    FOREIGN KEY (owner, run_id) REFERENCES chat_runs (owner, id) ON DELETE CASCADE
);

-- No foreign keys: what was spent stays known when the session is deleted.
CREATE TABLE chat_usage (
    owner              TEXT    NOT NULL,
    call_id            TEXT    NOT NULL,
    session_id         TEXT,
    run_id             TEXT,
    purpose            TEXT    NOT NULL,
    instance           TEXT    NOT NULL,
    plugin             TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    input_tokens       INTEGER,
    output_tokens      INTEGER,
    reasoning_tokens   INTEGER,
    cache_read_tokens  INTEGER,
    cache_write_tokens INTEGER,
    estimated          INTEGER NOT NULL DEFAULT 0,
    cost               TEXT,
    created_at         TEXT    NOT NULL,
    PRIMARY KEY (owner, call_id)
);

CREATE INDEX chat_usage_by_time ON chat_usage (owner, created_at);
