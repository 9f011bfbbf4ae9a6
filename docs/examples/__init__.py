"""Services that another team would build on the output topics; each is run by the tests."""
