"""What-ifs that directors ask for: rows, and the process that works on them beside the node.

`bulk` decides again in columns, `operations/what_if.py` are the pages. Read `process.py` first.
"""
