DROP TABLE chat_usage;

DROP TABLE chat_tool_calls;

DROP TABLE chat_approvals;

DROP TABLE chat_run_events;

DROP TABLE chat_runs;
