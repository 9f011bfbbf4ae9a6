"""Outputs: of each, its message and its row side by side."""
