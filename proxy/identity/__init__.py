"""Who is calling: tokens issued, verified and revoked, and the keys behind them."""
