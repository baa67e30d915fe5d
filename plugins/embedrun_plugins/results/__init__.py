"""Reading a finished run: comparison, report, reproduction."""
