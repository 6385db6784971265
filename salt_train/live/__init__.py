"""The fastest ways to run a trained network, one video at a time, waited for."""
