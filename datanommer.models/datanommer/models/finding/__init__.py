"""Messages found and counted: filters, the SQL that they become, and the queries.

`datanommer.models.message.Message` is the way in for programs. The rooms above use `filters`,
`predicates` and `stored_rows`. This room only reads.
"""
