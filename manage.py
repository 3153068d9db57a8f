#!/usr/bin/env python
"""Django's command-line entry point; the same commands as the console script `codexproxy`."""

from codexproxy.cli import main

if __name__ == "__main__":
    main()
