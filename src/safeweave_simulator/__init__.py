"""The world outside: hospitals, patients, a bank and their faults, from one seed, through public doors only.

It knows nothing of safeweave's inside and takes only money and the clock from it. `city.py` is the place to start;
`running.py` lets a city speak, `bank.py` and `phone.py` are the banks and the phones. See docs/concepts/simulator.md.
"""
