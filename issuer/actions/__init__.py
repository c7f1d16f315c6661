"""What a caller may ask for. The front end and the CLI call only these."""
