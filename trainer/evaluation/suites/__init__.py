"""Published benchmarks in folders of the user's: a table of suites, what each measures, and the command behind `--suite`."""
