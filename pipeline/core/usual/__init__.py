"""Baselines: what each hour of the week is normally like.

``measures`` lays out what is counted per step; ``baselines`` learns each hour of the week; ``scores`` says how
surprising a count is; ``history`` keeps the baseline of past hours; ``cuts`` makes checkpoints.
"""
