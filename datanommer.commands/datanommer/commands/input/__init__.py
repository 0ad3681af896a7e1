"""What the commands read: files of messages, in the forms in which people keep them."""
