"""What people run beside the workers: verify, replay, backtest, the simulated shop, dead letters."""
