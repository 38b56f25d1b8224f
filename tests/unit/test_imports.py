"""Every module imports without what only Linux has, and without what is optional."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys

class Hide:
    hidden = {"fcntl", "resource", "uvloop", "termios", "pty"}
    def find_spec(self, name, path=None, target=None):
        if name in self.hidden:
            raise ImportError(f"{name} is hidden")

for name in list(sys.modules):
    if name in Hide.hidden:
        del sys.modules[name]
sys.meta_path.insert(0, Hide())
import socket
for name in ("UDP_SEGMENT",):
    if hasattr(socket, name):
        delattr(socket, name)
import evotools
count = 0
for module in pkgutil.walk_packages(evotools.__path__, "evotools."):
    if module.name != "evotools.__main__":
        importlib.import_module(module.name)
        count += 1
for name in evotools.__all__:
    getattr(evotools, name)
print(count)
"""


def test_every_module_imports_with_platform_modules_hidden() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
