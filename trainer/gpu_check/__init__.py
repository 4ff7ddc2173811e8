"""Shows on the machine at hand that every stage trains, stops and goes on there, and how fast: `python -m gpu_check`."""
