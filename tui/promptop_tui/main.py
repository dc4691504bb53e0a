"""Entry point of the ``promptop`` command: hands the core a way to open the app, imported only when it is opened."""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes as long as all else that --version needs

if TYPE_CHECKING:
    from promptop.cli.shared.options import AppOptions


def open_app(options: AppOptions) -> int:
    """Open the app and return its exit code."""
    import gc

    # What is made while modules load stays; looking through it again and again takes a tenth of the start.
    gc.disable()
    from promptop_tui.app import run

    return run(options)


def main() -> int:
    """Run the command line of this process."""
    from promptop.cli import main as cli

    return cli.main(open_app=open_app)
