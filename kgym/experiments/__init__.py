"""Experiments as data: a table of claims in a TOML file, the runs that it asks for, the verdict on each claim, and a
page with all results.
"""
