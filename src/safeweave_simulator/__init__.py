"""The world outside: hospitals, patients, a bank and their faults, from one seed, through public doors only."""
