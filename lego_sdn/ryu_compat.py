"""What Ryu 4.34, the last release, lacks on today's eventlet and Python: put in place when Ryu is imported, and not before.

`lego_sdn_ryu.pth` calls `watch` at every start of Python: this module imports nothing but `sys` until Ryu is asked for.
"""

import sys

# each of them imports eventlet, and the first two the name that eventlet 0.30.3 dropped
TRIGGERS = ("ryu.cmd.manager", "ryu.app.wsgi", "ryu.lib.hub")


class RyuFinder:
    """A finder that finds nothing: it is asked first, prepares the ground for Ryu once, and steps aside."""

    def find_spec(self, name, path=None, target=None):
        if name not in TRIGGERS:
            return None
        prepare_eventlet()
        if name == "ryu.cmd.manager":
            from ryu import cfg

            register_options(cfg.CONF)
            sys.meta_path.remove(self)
        return None

    def __repr__(self):
        return "<RyuFinder>"


def watch() -> None:
    """Ask to be told of imports; calling it again changes nothing."""
    if not any(isinstance(finder, RyuFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RyuFinder())


def prepare_eventlet() -> None:
    """Import eventlet without its own deprecation notice, and give back the one name that Ryu needs."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eventlet.wsgi
    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        # Ryu returns it from websocket handlers only: an answer with no bytes left to send
        eventlet.wsgi.ALREADY_HANDLED = ()


def register_options(conf) -> None:
    """Add `--lego-config FILE` to an oslo.config object (Ryu's); calling it again changes nothing."""
    from oslo_config import cfg

    conf.register_cli_opt(cfg.StrOpt("lego-config", metavar="FILE", help="LEGO's configuration, YAML (default: LEGO_CONFIG)"))
