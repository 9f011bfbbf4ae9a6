"""``cx-signals verify``: the tables once more, in the plainest way, and the comparison.

``naive`` shares the schemas (what is an event, what is refused) with the pipeline and nothing else: no
state that lives on, no versions, no batches. Sort, walk, count.
"""
