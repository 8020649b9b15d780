"""The family `verifiers`: installed environments of the package verifiers."""
