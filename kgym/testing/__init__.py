"""Checks, engines and fixtures with which plugin authors test their plugins."""
