"""The actions that callers may request. The web front end and the CLI call only these."""
