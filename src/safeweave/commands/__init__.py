"""What each command does: it asks the packages below and shows; `main.py` holds the table of commands."""
