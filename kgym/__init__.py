"""kgym: a gym for LLM reasoning."""
