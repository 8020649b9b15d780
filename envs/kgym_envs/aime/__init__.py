"""AIME: problems with an integer answer from 0 to 999, generated for training and added by the user for the real
examinations.
"""
