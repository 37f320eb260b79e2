"""The subcommands of ``gradwire``, one file each."""
