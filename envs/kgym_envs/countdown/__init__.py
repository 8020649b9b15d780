"""Countdown: make a target from given numbers, each used once; solved by search, so that longer completions pay."""
