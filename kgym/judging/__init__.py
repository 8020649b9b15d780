"""Running programs of untrusted authors, isolated from this machine."""
