"""How many messages there are: by topic, by category, by user, by day."""
