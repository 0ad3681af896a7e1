"""The commands, each with its line in ``datanommer --help``: the first sentence of its own help.

setup.py runs this file alone, to define a console script for each, so it must not import anything.
"""

COMMANDS = {
    "create-db": "Create the tables in an empty database.",
    "dump": "Dump the messages as JSON, oldest first.",
    "embedded": "Start, stop and look at the embedded PostgreSQL server.",
    "latest": "Print the newest message, however old it is, as a list with one element.",
    "load": "Load messages from files, or from standard input.",
    "reindex": (
        "Extract the users and packages of stored messages anew, after an upgrade of fedmsg.meta."
    ),
    "rejected": "Look at what could not be stored as a message, and try it again.",
    "runs": (
        "Print the runs of a script that syncs logs, newest first, and what is wrong with each."
    ),
    "spool": "Look after the messages that wait on disk while the database is away.",
    "stats": "Print how many messages each category has, most numerous first.",
    "validate": "Check the messages of scripts, logging.stats, against their JSON Schemas.",
    "verify": "Check the signatures of stored messages again.",
}
