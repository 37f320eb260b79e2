"""The entry point of the ``gradwire`` script: Ctrl-C prints no traceback, from its first line on."""

from __future__ import annotations

from gradwire.deploy import interrupts

interrupts.exit_silently()


def main() -> None:
    """Run the command line."""
    from gradwire.deploy.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
