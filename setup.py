"""Only what setup.cfg cannot say: the import hook goes beside the packages, so that Python reads it at every start.

A sub-command of `build` and not `data_files`: setuptools' editable wheels leave data files out.
"""

from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build import build

HOOK = "lego_sdn_ryu.pth"


class BuildHook(Command):
    """Put the hook at the root of the wheel, which is unpacked into site-packages."""

    description = "add the import hook that lets Ryu run"
    user_options = []  # noqa: RUF012 (setuptools' declaration)

    def initialize_options(self):
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self):
        # an editable wheel takes nothing from build_lib, only what is installed for real
        folder = Path(self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib)
        self.mkpath(str(folder))
        self.copy_file(HOOK, str(folder / HOOK))

    def get_source_files(self):
        return [HOOK]

    def get_outputs(self):
        return [] if self.editable_mode else [str(Path(self.build_lib, HOOK))]

    def get_output_mapping(self):
        return {}


class Build(build):
    """The usual build, and the hook."""

    sub_commands = [*build.sub_commands, ("build_hook", None)]  # noqa: RUF012


setup(cmdclass={"build": Build, "build_hook": BuildHook})
