"""Messages of another database of datanommer, on their way into this one."""
