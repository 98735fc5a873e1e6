"""`python -m solarflow.cli`, where no script is installed."""

from solarflow.cli import main

main()
