"""What can go wrong, by the thing that is wrong; every message says where, what was wanted, what was found.

The command line turns any `LegoError` into one sentence on standard error and exit code 2.
"""


class LegoError(Exception):
    """Something the user or operator can act on."""


class ConfigError(LegoError):
    """A configuration file, key or value is wrong."""


class CaptureError(LegoError):
    """A capture cannot be read as what it claims to be."""


class ModelError(LegoError):
    """A model file is foreign, damaged, or of another layout."""


class HostError(LegoError):
    """The host lacks something: root, Open vSwitch, a port, a name."""


class BrickError(LegoError):
    """A brick cannot be built, placed or reached."""


class RpcError(LegoError):
    """A peer cannot be reached, or answered with an error."""
