"""What the hub missed while it was down: noted on disk, and fetched from a datagrepper."""
