"""Ryu's packet library warns of itself when it is compiled, and pytest makes errors of warnings: it is imported here, once, silenced.

Only its messages are imported into the tests' process, never eventlet: that would warn whenever any test forks.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ryu.ofproto.ofproto_v1_4_parser  # noqa: F401
