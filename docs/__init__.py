"""The documentation: one page per question; ``build`` makes the reference pages from the code."""
