"""`python -m undergrowth` is the command line."""

from undergrowth.cli import main

if __name__ == "__main__":
    main()
