"""The components that come with kgym, by kind; each folder is a plugin of its own."""
