"""The doors: they ask and show, and decide nothing. `doors.py` holds those hospitals use."""
