"""`python -m undergrowth.cli` is the command line, too."""

from undergrowth.cli import main

if __name__ == "__main__":
    main()
