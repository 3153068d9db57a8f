"""`python -m codexproxy CMD`: the same as the console script."""

from __future__ import annotations

from codexproxy.cli import main

if __name__ == "__main__":
    main()
