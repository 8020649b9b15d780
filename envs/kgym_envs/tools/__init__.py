"""Environments with tools: the problems of any other environment, with a calculator, a Python interpreter or the
tools of a server.
"""
