"""GSM8K: word problems with integer answers; generated for training and validation, the real test problems added by
the user.
"""
