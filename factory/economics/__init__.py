"""What a line earns: the backtest, a line's past with its real sensors and gates."""
