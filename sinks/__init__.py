"""Where rows go: one Protocol, the ClickHouse writer, an in-memory one, the buffer before them."""
