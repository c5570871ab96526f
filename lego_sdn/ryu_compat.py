"""What Ryu 4.34, the last release, lacks on today's eventlet and Python: put in place when Ryu is imported, and not before.

`lego_sdn_ryu.pth` calls `watch` at every start of Python: this module imports nothing but `sys` until Ryu is asked for.
"""

import sys

# Each of these imports eventlet, and the first two the name that eventlet 0.30.3 dropped.
EVENTLET_USERS = ("ryu.cmd.manager", "ryu.app.wsgi", "ryu.lib.hub")
# ryu-manager imports it after patching the standard library and before reading its command line.
OPTIONS = "ryu.flags"


class RyuFinder:
    """A finder that is asked first, and prepares the ground for what is about to be imported."""

    def find_spec(self, name, path=None, target=None):
        if name in EVENTLET_USERS:
            prepare_eventlet()
            if name == "ryu.cmd.manager" and "--enable-debugger" not in sys.argv:
                patch_early()
        elif name == OPTIONS and "ryu.cmd.manager" in sys.modules:
            from ryu import cfg

            register_options(cfg.CONF)
        elif name == "distutils" and "ryu" in sys.modules:
            return standard_distutils()
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

    # Ryu's own: `interval is not 0`, said again at every start where Python may not keep compiled files
    warnings.filterwarnings("ignore", '"is not" with', SyntaxWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eventlet.wsgi
    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        # Ryu returns it from websocket handlers only: an answer with no bytes left to send
        eventlet.wsgi.ALREADY_HANDLED = ()


def standard_distutils():
    """Python's own, where it has one: Ryu wants its comparison of versions only, and setuptools' copy takes 0.4 s of CPU to import."""
    from importlib.machinery import PathFinder

    return PathFinder.find_spec("distutils")


def patch_early() -> None:
    """What ryu-manager does a little later, when modules that it imports in between hold locks that cannot be patched any more."""
    import eventlet

    eventlet.monkey_patch()


def register_options(conf) -> None:
    """Add `--lego-config FILE` to an oslo.config object (Ryu's)."""
    from oslo_config import cfg

    conf.register_cli_opt(cfg.StrOpt("lego-config", metavar="FILE", help="LEGO's configuration, YAML (default: LEGO_CONFIG)"))
