"""`python -m gpuzarr`: the command line."""

from gpuzarr.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
