"""How fast datanommer is, each figure beside a peer or a limit of the same run; see README.rst."""
