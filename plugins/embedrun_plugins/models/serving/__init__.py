"""The server behind `embedrun serve` and the deployer `local`."""
