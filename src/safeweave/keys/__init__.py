"""Keys of the consortium: suites, key rings and sets, commitments, the VRF and sealed envelopes."""
