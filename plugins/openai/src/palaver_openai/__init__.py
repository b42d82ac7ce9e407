"""OpenAI, and every server that speaks its dialect, for Palaver."""
