"""The components that come with kgym, by kind; each folder is its own plugin."""
