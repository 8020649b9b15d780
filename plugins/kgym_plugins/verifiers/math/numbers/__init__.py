"""What syntax trees are worth: exactly, at high precision, and by algebra; and whether two of them are equal."""
