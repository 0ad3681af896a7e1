"""An application on the archive: the ``logging.stats`` messages that scripts send.

It checks these messages against their types, shows each as a sentence, and tells which runs of a
script went well. It plugs into storing and into ``fedmsg.meta`` by entry points; no other package
imports it.
"""
