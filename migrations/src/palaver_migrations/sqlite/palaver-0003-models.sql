-- The operator's registry of models, and the one row that readiness writes to.
-- depends: palaver-0002-runs

CREATE TABLE ai_models (
    name           TEXT    NOT NULL PRIMARY KEY,
    display_name   TEXT,
    provider       TEXT    NOT NULL,
    model_id       TEXT    NOT NULL,
    context_window INTEGER,
    max_tokens     INTEGER,
    description    TEXT    NOT NULL DEFAULT '',
    is_active      INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE palaver_probe (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    checked_at TEXT    NOT NULL
);
