"""What is expected, what is unusual, and what is made of it: pure, vectorised over segments.

``measures`` lays out what is counted per step; ``baselines`` learns what is usual by hour of week;
``scores`` tells how surprising a count is; ``watch`` applies the rules; ``incidents`` makes alerts of what
they find; ``explain`` names the parts of a segment and the steps that account for it.
"""
