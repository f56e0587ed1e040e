"""`python -m storecredit` is the `storecredit` command."""

from storecredit.cli import main

if __name__ == "__main__":
    main()
