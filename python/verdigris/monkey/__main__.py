"""`python -m verdigris.monkey`, gevent's way to run a program patched."""

from verdigris.monkey import main

if __name__ == "__main__":
    main()
