DROP TABLE chat_attachments;

DROP TABLE chat_messages;

DROP TABLE chat_sessions;
