"""Verification: running verifiers safely."""
