"""Messages found: by filters, by their ids, page by page, or as they arrive.

`datanommer.models.message.Message` is the way in for programs. This room only reads.
"""
