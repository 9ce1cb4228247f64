"""The durable store: tables, the journal (its one writer), queries (its readers), migrations, retention."""
