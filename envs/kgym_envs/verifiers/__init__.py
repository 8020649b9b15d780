"""The family `verifiers`: installed single-turn environments of the package verifiers."""
