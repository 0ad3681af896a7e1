# datanommer's part of the fedmsg configuration: every key of its own, and the keys of fedmsg that
# matter to it. In /etc/fedmsg.d/ it goes into force when datanommer.enabled is True. What another
# file of that folder sets belongs there, and not here a second time.
config = {
    # Whether fedmsg-hub stores the messages of the bus in PostgreSQL.
    "datanommer.enabled": False,
    #
    # The database. Everybody at the shell reads this file, so it holds no password: the hub's is in
    # /etc/datanommer/hub.pgpass (docs/systemd.rst), and everybody else has a ~/.pgpass. A URL
    # without a user is good for all: each connects as the role with the name of the system user.
    # embedded:///path/of/a/folder is a server of datanommer's own in that folder.
    # The environment variable DATANOMMER_SQLALCHEMY_URL goes before it. Without either, fedmsg-hub
    # does not start. `datanommer-create-db` makes the tables in an empty database.
    # "datanommer.sqlalchemy.url": "postgresql://datanommer@db.example.com/datanommer",
    #
    # A hot standby of it, which commands that only read ask. If it does not answer, they ask the
    # database. The hub never asks it. The environment has DATANOMMER_SQLALCHEMY_READ_URL for it.
    # "datanommer.sqlalchemy.read_url": "postgresql://reader@db2.example.com/datanommer",
    #
    # Which topics to store: a prefix that ends in *, or a list of those. The default is all.
    # "datanommer.topic": "*",
    # "datanommer.topic": ["org.fedoraproject.prod.bodhi.*", "org.fedoraproject.prod.git.*"],
    #
    # The most messages of one transaction. On a quiet bus, each is stored alone and at once.
    # "datanommer.batch_size": 1000,
    #
    # Where messages wait while the database is away, the most that this takes (in bytes), and
    # what it leaves free on its disk. Each hub needs a folder of its own.
    # "datanommer.spool_dir": "/var/spool/datanommer",
    # "datanommer.spool_max_bytes": 10 * 1024**3,
    # "datanommer.spool_min_free_bytes": 512 * 1024**2,
    #
    # For a server with an asynchronous standby: for how many seconds a copy of what is stored stays
    # on disk, to be stored again where the standby takes over, and the most that copies may take.
    # "datanommer.replay_seconds": 60,
    # "datanommer.replay_max_bytes": 1024**3,
    #
    # Where the hub says once a second how it is, for datanommer-status. Everybody may read it.
    # "datanommer.status_file": "/run/datanommer/hub.json",
    #
    # Where the hub, and a consumer of AMQP, serve metrics for Prometheus (docs/watching.rst). Who
    # reaches the address can read them. They need datanommer.consumer[metrics].
    # "datanommer.metrics": "127.0.0.1:9109",
    # "datanommer.amqp_metrics": "127.0.0.1:9110",
    #
    # A broker that speaks STOMP, in place of ZeroMQ (docs/stomp.rst). The queue is the hub's own;
    # RabbitMQ wants to know its virtual host.
    # "zmq_enabled": False,
    # "stomp_uri": "broker01.example.com:61612,broker02.example.com:61612",
    # "stomp_queue": "/queue/Consumer.datanommer.prod.VirtualTopic.eng.>",
    # "stomp_ssl_crt": "/etc/datanommer/broker.crt",
    # "stomp_ssl_key": "/etc/datanommer/broker.key",
    # "datanommer.stomp_vhost": "/",
    #
    # Whether only messages with a valid signature are stored; what tells which are valid; and who
    # may send what. Without validate_signatures, none is validated, and the log says so.
    # "validate_signatures": True,
    # "crypto_validate_backends": ["x509"],
    # "ca_cert_location": "/etc/pki/fedmsg/ca.crt",
    # "crl_location": "/etc/pki/fedmsg/crl.pem",
    # "routing_policy": {"org.fedoraproject.prod.git.receive": ["shell-pkgs01.example.com"]},
    # "routing_nitpicky": False,
    #
    # The bus: where to listen, and at most how many messages may wait in a socket. More than 0,
    # which means no limit, does not work with current versions of ZeroMQ.
    # "zmq_enabled": True,
    # "endpoints": {"bodhi.app01": ["tcp://app01.example.com:3000"]},
    # "high_water_mark": 0,
    #
    # What the topics of your own bus begin with: fedmsg.meta, which tells the users and packages
    # of a message, looks at no others. The defaults are those of Fedora.
    # "topic_prefix": "org.fedoraproject",
    # "environment": "prod",
    #
    # How many threads store messages. More than one gains nothing, and loses the order.
    # "moksha.workers_per_consumer": 1,
    #
    # Where the hub notes how far it is (twice a batch), and where it then fetches what it missed
    # while it was down (docs/nothing-is-lost.rst). Each hub needs a folder of its own.
    # "status_directory": "/var/run/fedmsg/status",
    # "datagrepper_url": "https://apps.example.com/datagrepper/raw",
    #
    # Where the hub tells about itself every five seconds; `fedmsg-check` reads it.
    # "moksha.monitoring.socket": "ipc:///var/run/fedmsg/monitoring-fedmsg-hub.socket",
}
