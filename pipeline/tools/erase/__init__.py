"""``erase``: have everything forget a customer or a visitor, and see what still holds an id (docs/erasure.md).

``people``   whom an id is of, and by which names it is stored
``rows``     the rows of ClickHouse
``states``   how far the workers' states are with it
``search``   every topic and table, for an id
"""
