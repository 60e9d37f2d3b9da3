"""``python -m probes``: the command line, where the script is not on the path."""

from probes.cli import main

if __name__ == "__main__":
    main(prog_name="probes")
