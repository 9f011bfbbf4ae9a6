"""The worker's web server: health, metrics, the HTTP API, the live console."""
