"""The loss core that algorithms share."""
