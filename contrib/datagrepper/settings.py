"""The settings of datagrepper, in Python; the variable DATAGREPPER_CONFIG names this file."""

# The archive, for somebody who may only read: docs/roles.rst.
DATANOMMER_SQLALCHEMY_URL = "postgresql://datagrepper@db.example.com/datanommer"

# Where people find it.
APP_PATH = "https://datagrepper.example.com"
