"""What the running processes show of themselves, and who is told when they do not."""
