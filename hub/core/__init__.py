"""What every part of the hub stands on: errors, ids, clocks, money, settings, log, encryption, secrets."""
