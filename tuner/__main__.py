"""``python -m tuner`` is ``tune``."""

from tuner.cli.start import main

if __name__ == "__main__":
    main()
