"""`python -m lego_sdn` is the `lego` command."""

from lego_sdn.cli import main

if __name__ == "__main__":
    main()
