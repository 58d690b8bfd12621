"""What bench/run.py is made of: machine and processes, one module per method, the report."""
