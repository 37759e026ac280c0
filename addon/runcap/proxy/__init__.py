"""Running the proxy: mitmproxy's lean master, worker processes, and what stands behind them."""
