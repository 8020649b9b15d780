"""MATH: free-form answers in LaTeX; generated for training and validation, the 500 test problems added by the user."""
