"""Everything that keeps the product running: the web server, its supervisor, the embedded services, `make run`."""
