"""Running a run's lock again, and saying what differs."""
