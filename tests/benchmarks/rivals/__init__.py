"""Much smaller jobs than the pipeline's in other frameworks, and what reading and decoding alone costs."""
