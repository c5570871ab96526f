"""Only what setup.cfg cannot say: the import hook goes beside the packages, so that Python reads it at every start."""

import sysconfig
from pathlib import PurePath

from setuptools import setup

paths = sysconfig.get_paths()
site = PurePath(paths["purelib"]).relative_to(paths["data"])
setup(data_files=[(str(site), ["lego_sdn_ryu.pth"])])
