"""Leaderboard tables that come with kgym, as package data."""
