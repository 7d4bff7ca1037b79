"""Runs a module as a process that lives no longer than whoever started it.

    python -m safeweave_simulator.leash safeweave_simulator.bank --data bank.db

The starter holds the other end of standard input. When it ends, even by kill -9, the pipe closes and so does this.
"""

import os
import runpy
import sys
import threading


def _until_the_other_end_is_gone() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> None:
    """Run the module named first with the arguments after it."""
    module, *arguments = sys.argv[1:]
    threading.Thread(target=_until_the_other_end_is_gone, daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
