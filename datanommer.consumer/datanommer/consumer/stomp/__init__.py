"""Messages that come over STOMP: whole, and acknowledged once they are kept.

moksha's own protocol decodes each segment of TCP by itself, leaves frames in its buffer, and
acknowledges what is only in memory (moksha.hub 1.5.17). So its connection to the broker is
replaced: `extension` takes it over, and hands each message to datanommer's consumer and to the
other consumers of the hub.
"""
