DROP TABLE palaver_probe;

DROP TABLE ai_models;
