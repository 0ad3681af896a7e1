"""The commands, each with its line in ``datanommer --help``: the first sentence of its own help.

setup.py runs this file alone, to define a console script for each, so it must not import anything.
"""

#: Grouped by purpose.
GROUPS = {
    "Ask": {
        "grep": "Find messages, and print a line for each, the newest last.",
        "show": "Print whole messages, by their ids.",
        "latest": "Print the newest message, however old it is, as a list with one element.",
        "stats": "Count the messages by category, topic, user, package or time.",
        "report": "Write a page of HTML about the archive, with charts.",
        "dump": "Dump the messages as JSON, oldest first.",
        "export": (
            "Write the messages into a Parquet data set; run again, those that have arrived since."
        ),
        "runs": (
            "Print the runs of a script that syncs logs, newest first, and what is wrong with each."
        ),
    },
    "Load": {
        "load": "Load messages from files, from standard input, or from another database.",
        "rejected": "Look at what could not be stored as a message, and try it again.",
    },
    "Run": {
        "create-db": "Create the tables in an empty database.",
        "embedded": "Start, stop and look at the embedded PostgreSQL server.",
        "status": "Say how it is with the archive and the hub, and check it for a monitor.",
        "spool": "Look after the messages that wait on disk while the database is away.",
        "completion": "Print the script that lets Tab complete what you type after a command.",
    },
    "Check and repair": {
        "reindex": (
            "Extract the users, packages and agents of stored messages anew, after an upgrade."
        ),
        "prune": "Delete messages from PostgreSQL that are in a Parquet data set.",
        "validate": "Check the messages of scripts, logging.stats, against their JSON Schemas.",
        "verify": "Check the signatures of stored messages again.",
    },
}
COMMANDS = {name: line for commands in GROUPS.values() for name, line in commands.items()}
