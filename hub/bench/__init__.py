"""The benchmark: how much the durable path carries on this machine, beside a bare listener that only stores."""
